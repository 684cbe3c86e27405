// SPDX-License-Identifier: Apache-2.0
package org.ioasis.run;

import java.io.IOException;
import java.util.List;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.live.Trace;
import org.ioasis.loop.IdlePolicy;
import org.ioasis.machine.IommuUnit;
import org.ioasis.machine.Machine;
import org.ioasis.memory.GuestMemory;
import org.ioasis.page.Page;
import org.ioasis.record.Recorder;
import org.ioasis.vm.Workspace;
import org.jspecify.annotations.Nullable;

/**
 * The machine of a guest, which serves its devices, and who watches it: a trace, a recording, a
 * page. Started and closed by one thread.
 */
final class WatchedMachine implements AutoCloseable {
    private final Machine machine;
    private @Nullable Trace trace;
    private @Nullable Recorder recorder;
    private @Nullable Page page;

    private WatchedMachine(RunOptions options) throws IOException {
        machine =
                new Machine(
                        "machine", IdlePolicy.ADAPTIVE, GuestMemory.REGION_LIMIT, options.ring());
    }

    /**
     * Serves from now on; nothing is left of a start that fails.
     *
     * @throws IOException a socket, a file or a port cannot be had; the message says which and why
     */
    static WatchedMachine start(
            RunOptions options,
            Workspace workspace,
            Platform platform,
            List<GuestDevices.Place> places)
            throws IOException {
        WatchedMachine started = new WatchedMachine(options);
        boolean isStarted = false;
        try {
            started.make(options, workspace, platform, places);
            isStarted = true;
            return started;
        } finally {
            if (!isStarted) {
                started.close();
            }
        }
    }

    private void make(
            RunOptions options,
            Workspace workspace,
            Platform platform,
            List<GuestDevices.Place> places)
            throws IOException {
        Recorder recording =
                options.record().isEmpty() ? null : Recorder.create(options.record().get());
        recorder = recording;
        IommuOptions iommuOptions =
                platform.iommu(IommuOptions.builder()).bypassAtStart(options.isBypassing()).build();
        for (int i = 0; i < options.iommus(); i++) {
            IommuUnit unit =
                    machine.addIommu(
                            "iommu" + i,
                            iommuOptions,
                            null,
                            platform.transport(),
                            GuestCommand.iommuSocket(workspace, i));
            if (recording != null) {
                recording.watch(machine.name(), unit);
            }
        }
        for (GuestDevices.Place place : places) {
            var _ = machine.add(machine.iommus().get(place.iommu()), place.device());
        }
        if (options.trace().isPresent()) {
            Trace begun = Trace.start(options.trace().get());
            trace = begun;
            begun.watch(machine);
        }
        if (options.page().isPresent()) {
            page = Page.start(List.of(machine), options.page().getAsInt());
        }
        if (recording != null) {
            recording.begin();
        }
        machine.start();
    }

    Machine machine() {
        return machine;
    }

    /** Where its page is, or null. */
    @Nullable String pageAddress() {
        Page shown = page;
        return shown == null ? null : shown.address();
    }

    /** For people: what became of the recording, after the end; null if there was none. */
    @Nullable String recorded() {
        Recorder recording = recorder;
        return recording == null ? null : recording.sentence();
    }

    /** Ends the sessions, and then what is written of them. Twice is fine. */
    @Override
    public void close() throws IOException {
        Page shown = page;
        Trace written = trace;
        Recorder recording = recorder;
        try {
            if (shown != null) {
                shown.close();
            }
            machine.close();
        } finally {
            if (written != null) {
                written.close();
            }
            if (recording != null) {
                recording.close();
            }
        }
    }
}
