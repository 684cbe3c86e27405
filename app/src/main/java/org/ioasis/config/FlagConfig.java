// SPDX-License-Identifier: Apache-2.0
package org.ioasis.config;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.ioasis.config.Draft.DeviceDraft;
import org.ioasis.config.Draft.Ids;
import org.ioasis.config.Draft.IommuDraft;
import org.ioasis.config.Draft.MachineDraft;
import org.ioasis.config.Draft.Present;
import org.ioasis.config.Problem.Place;
import org.ioasis.iommu.EndpointProperties;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.live.TraceConfig;
import org.ioasis.loop.IdlePolicy;
import org.ioasis.machine.DeviceKind;
import org.ioasis.machine.IommuTransport;
import org.ioasis.machine.Machine;
import org.ioasis.memory.GuestMemory;
import org.ioasis.virtqueue.RingFormat;
import org.jspecify.annotations.Nullable;

/**
 * The simple case from the command line: one machine, one IOMMU, the devices behind it. One thread.
 */
public final class FlagConfig {
    private static final Place PLACE = Place.COMMAND_LINE;

    private final List<Problem> problems = new ArrayList<>();

    private final Path iommu;
    private final Map<DeviceKind, List<String>> devices = new LinkedHashMap<>();
    private List<String> present = List.of();
    private EndpointProperties usualEndpoint = Machine.X86_ENDPOINT;
    private RingFormat rings = RingFormat.SPLIT;
    private IommuTransport transport = IommuTransport.VFIO_USER;
    private @Nullable Path viot;
    private @Nullable Path control;
    private @Nullable TraceConfig trace;

    private FlagConfig(Path iommu) {
        this.iommu = iommu;
    }

    /** With an IOMMU at this socket, and nothing behind it yet. */
    public static FlagConfig iommu(Path socket) {
        return new FlagConfig(socket);
    }

    /**
     * Devices of one kind; kinds come in the order of these calls.
     *
     * @param options each {@code SOCKET}, then {@code KEY=VALUE} and {@code KEY}; a comma inside of
     *     a value is written twice
     */
    public FlagConfig devices(DeviceKind kind, List<String> options) {
        devices.put(kind, List.copyOf(options));
        return this;
    }

    /**
     * Endpoints whose accesses do not come through us.
     *
     * @param options each {@code ID} or {@code ID-ID}
     */
    public FlagConfig present(List<String> options) {
        present = List.copyOf(options);
        return this;
    }

    /**
     * The doorbells of the machine's interrupt controller.
     *
     * @param option {@code FIRST-LAST}, {@code none} or a device tree blob; null for those of x86
     */
    public FlagConfig msi(@Nullable String option) {
        if (option != null) {
            try {
                usualEndpoint = Doorbells.endpoint(option, Path.of(""));
            } catch (IOException e) {
                problems.add(new Problem(PLACE, "--msi: " + e.getMessage()));
            }
        }
        return this;
    }

    /** What its devices offer; split rings are what any driver has. */
    public FlagConfig rings(RingFormat offered) {
        rings = offered;
        return this;
    }

    /** What the VMM speaks with the IOMMU. */
    public FlagConfig transport(IommuTransport chosen) {
        transport = chosen;
        return this;
    }

    /** Where its table is written; null for the usual place. */
    public FlagConfig viot(@Nullable Path file) {
        viot = file;
        return this;
    }

    /** Where the server is asked; null for the usual place. */
    public FlagConfig control(@Nullable Path socket) {
        control = socket;
        return this;
    }

    /** Its trace; null for none. */
    public FlagConfig trace(@Nullable TraceConfig wanted) {
        trace = wanted;
        return this;
    }

    /**
     * Everything checked and filled in.
     *
     * @throws ConfigException with everything that is wrong
     */
    public ServeConfig resolve() throws ConfigException {
        List<DeviceDraft> drafts = new ArrayList<>();
        devices.forEach((kind, options) -> options.forEach(text -> add(drafts, kind, text)));
        List<Ids> ids = new ArrayList<>();
        for (String text : present) {
            Ids parsed = Ids.parse(text);
            if (parsed == null) {
                problems.add(new Problem(PLACE, "--present: not ID or ID-ID: " + text));
            } else {
                ids.add(parsed);
            }
        }
        IommuDraft only =
                new IommuDraft(
                        PLACE,
                        "iommu",
                        iommu,
                        transport,
                        0,
                        IommuOptions.DEFAULT,
                        null,
                        drafts,
                        new Present(ids, usualEndpoint),
                        List.of());
        MachineDraft machine =
                new MachineDraft(
                        PLACE,
                        "machine",
                        IdlePolicy.ADAPTIVE.lookNanos(),
                        GuestMemory.REGION_LIMIT,
                        rings,
                        viot,
                        List.of(only));
        ServeConfig config =
                new ServeConfig(
                        new Draft(problems).resolve(List.of(machine), control), control, trace);
        if (!problems.isEmpty()) {
            throw new ConfigException("", problems);
        }
        return config;
    }

    private void add(List<DeviceDraft> drafts, DeviceKind kind, String text) {
        OptionWords words =
                new OptionWords("--" + kind.key() + " " + text, text, "socket", problems);
        long endpoint = words.integer("endpoint", 0, Draft.U32_MAX, -1);
        long alias = words.integer("alias", 0, Draft.U32_MAX, -1);
        DeviceKind.Described described = kind.read(words);
        words.finish();
        Path socket = words.path("");
        if (socket == null) {
            words.problem("needs a socket");
        } else if (described != null) {
            drafts.add(
                    new DeviceDraft(
                            PLACE,
                            null,
                            socket,
                            endpoint,
                            alias < 0 ? List.of() : List.of(new Ids(alias, alias)),
                            0,
                            usualEndpoint,
                            kind,
                            described));
        }
    }
}
