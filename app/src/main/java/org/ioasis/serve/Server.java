// SPDX-License-Identifier: Apache-2.0
package org.ioasis.serve;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.ioasis.config.ServeConfig;
import org.ioasis.config.ServeConfig.DeviceConfig;
import org.ioasis.config.ServeConfig.IommuConfig;
import org.ioasis.config.ServeConfig.MachineConfig;
import org.ioasis.config.ServeConfig.PresentConfig;
import org.ioasis.live.Control;
import org.ioasis.live.Trace;
import org.ioasis.live.TraceConfig;
import org.ioasis.loop.IdlePolicy;
import org.ioasis.machine.IommuUnit;
import org.ioasis.machine.Machine;
import org.ioasis.metrics.MetricsServer;
import org.ioasis.output.OutputFile;
import org.ioasis.output.OutputKind;
import org.ioasis.page.Page;
import org.ioasis.record.RecordConfig;
import org.ioasis.record.Recorder;
import org.ioasis.sys.Errno;
import org.ioasis.sys.ErrnoException;
import org.jspecify.annotations.Nullable;

/**
 * Everything that one process serves: the machines of a configuration and their topology tables.
 * Started and closed by one thread.
 */
public final class Server implements AutoCloseable {
    private final ServeConfig config;
    private final List<Machine> machines = new ArrayList<>();
    private final List<OutputFile> tables = new ArrayList<>();
    private @Nullable Control control;
    private @Nullable Trace trace;
    private @Nullable Recorder recorder;
    private @Nullable Page page;
    private @Nullable MetricsServer metrics;

    private Server(ServeConfig config) {
        this.config = config;
    }

    /**
     * Makes all sockets and files and serves from now on; nothing is left of a start that fails.
     *
     * @throws IOException a socket or a file cannot be made; the message says which and why
     */
    public static Server start(ServeConfig config) throws IOException {
        return start(config, null);
    }

    /**
     * The same, with a recording of all that happens.
     *
     * @param record null: without
     */
    public static Server start(ServeConfig config, @Nullable RecordConfig record)
            throws IOException {
        Server server = new Server(config);
        boolean isStarted = false;
        try {
            server.recorder = record == null ? null : Recorder.create(record);
            for (MachineConfig machine : config.machines()) {
                server.make(machine);
            }
            for (MachineConfig machine : config.machines()) {
                server.writeTable(machine);
            }
            server.control = server.control();
            server.trace = server.trace();
            server.plant();
            Recorder recording = server.recorder;
            if (recording != null) {
                recording.begin();
            }
            for (Machine machine : server.machines) {
                machine.start();
            }
            isStarted = true;
            return server;
        } finally {
            if (!isStarted) {
                server.close();
            }
        }
    }

    private void make(MachineConfig config) throws IOException {
        Machine machine =
                new Machine(
                        config.name(),
                        new IdlePolicy(config.pollNanos()),
                        config.maxDmaMaps(),
                        config.rings());
        machines.add(machine);
        for (IommuConfig iommu : config.iommus()) {
            IommuUnit unit;
            try {
                unit =
                        machine.addIommu(
                                iommu.name(),
                                iommu.options(),
                                iommu.profile(),
                                iommu.transport(),
                                iommu.socket());
            } catch (ErrnoException e) {
                throw explained(iommu.socket(), e);
            }
            Recorder recording = recorder;
            if (recording != null) {
                recording.watch(machine.name(), unit);
            }
            for (PresentConfig present : iommu.present()) {
                machine.addPresent(unit, present.endpoint(), present.properties());
            }
            for (DeviceConfig device : iommu.devices()) {
                try {
                    machine.add(unit, device.options());
                } catch (ErrnoException e) {
                    throw explained(device.options().place().socket(), e);
                }
            }
        }
    }

    private Control control() throws IOException {
        Path socket = config.controlSocket();
        try {
            return Control.start(socket, machines);
        } catch (ErrnoException e) {
            throw explained(socket, e);
        }
    }

    private @Nullable Trace trace() throws IOException {
        TraceConfig wanted = config.trace();
        if (wanted == null) {
            return null;
        }
        Trace begun = Trace.start(wanted);
        machines.forEach(begun::watch);
        return begun;
    }

    /** After the trace has begun, so that it tells of them. */
    private void plant() {
        for (int i = 0; i < machines.size(); i++) {
            List<IommuUnit> units = machines.get(i).iommus();
            for (int j = 0; j < units.size(); j++) {
                config.machines().get(i).iommus().get(j).injections().forEach(units.get(j)::inject);
            }
        }
    }

    private static IOException explained(Path socket, ErrnoException e) {
        return new IOException(
                e.errno() == Errno.EADDRINUSE
                        ? "somebody listens at %s already, or it is no socket; name another"
                                .formatted(socket)
                        : "cannot serve " + socket + ": " + Errno.words(e.errno()),
                e);
    }

    private void writeTable(MachineConfig machine) throws IOException {
        OutputFile table = OutputFile.open(machine.viot(), OutputKind.SERVED_VIOT);
        tables.add(table);
        table.write(machine.table());
    }

    /**
     * Goes on with the trace in the file that has its name now; false if there is no trace. Any
     * thread, once it has started.
     */
    public boolean reopenTrace() {
        Trace written = trace;
        if (written == null) {
            return false;
        }
        written.reopen();
        return true;
    }

    /** For people: what became of the recording, after the end; null if there was none. */
    public @Nullable String recorded() {
        Recorder recording = recorder;
        return recording == null ? null : recording.sentence();
    }

    /**
     * Shows its machines as a page, until the end. Once, by who has started it.
     *
     * @param port on the loopback interface; 0 for one that is free
     * @return its address
     * @throws IOException the port cannot be had
     */
    public String servePage(int port) throws IOException {
        Page shown = Page.start(machines, port);
        page = shown;
        return shown.address();
    }

    /**
     * Answers who asks for the metrics of its machines, until the end. Once, by who has started it.
     *
     * @param port on the loopback interface; 0 for one that is free
     * @throws IOException the port cannot be had
     */
    public void serveMetrics(int port) throws IOException {
        metrics = MetricsServer.start(port, machines);
    }

    /** What to say when it is ready: a line per socket, then how to attach QEMU. */
    public List<String> announcement() {
        List<String> shown = new ArrayList<>();
        Page looked = page;
        if (looked != null) {
            shown.add("page " + looked.address());
        }
        MetricsServer asked = metrics;
        if (asked != null) {
            shown.add("metrics " + asked.address());
        }
        return Announcement.of(config, shown);
    }

    /** The machines, in the order of the configuration. */
    public List<Machine> machines() {
        return List.copyOf(machines);
    }

    /**
     * Ends all sessions; removes the sockets and the tables, and leaves the trace. Twice is fine.
     */
    @Override
    public void close() throws IOException {
        Page shown = page;
        if (shown != null) {
            shown.close();
        }
        MetricsServer scraped = metrics;
        if (scraped != null) {
            scraped.close();
        }
        Control asked = control;
        if (asked != null) {
            asked.close();
        }
        IOException failure = null;
        for (Machine machine : machines) {
            try {
                machine.close();
            } catch (IOException e) {
                failure = e;
            }
        }
        Trace written = trace;
        if (written != null) {
            written.close();
        }
        Recorder recording = recorder;
        if (recording != null) {
            try {
                recording.close();
            } catch (IOException e) {
                failure = e;
            }
        }
        for (OutputFile table : tables) {
            table.remove();
            table.close();
        }
        tables.clear();
        if (failure != null) {
            throw failure;
        }
    }
}
