// SPDX-License-Identifier: Apache-2.0
package org.ioasis.live;

import java.util.ArrayList;
import java.util.List;
import org.ioasis.iommu.Refusal;
import org.ioasis.iommu.fault.Fault;
import org.ioasis.live.MachineView.DeviceView;
import org.ioasis.live.MachineView.EndpointView;
import org.ioasis.live.MachineView.IommuView;
import org.ioasis.machine.EndpointDevice.Trouble;
import org.ioasis.machine.Machine;
import org.ioasis.peer.ServedInfo;
import org.ioasis.spec.Virtio;
import org.jspecify.annotations.Nullable;

/**
 * Why devices are not translated: for each device the first cause on the way from the VMM's
 * connection to a translated access, and what to do about it. Immutable; any thread.
 *
 * @param findings at least one per device, in the order of machines, IOMMUs and devices
 */
public record Diagnosis(List<Finding> findings) {
    /** What a finding is about. */
    public enum Cause {
        TRANSLATED(false),
        IDLE(false),
        PASSTHROUGH(true),
        LOOP_STUCK(true),
        NO_VMM(true),
        MEMORY_NOT_SHARED(true),
        NEEDS_RESET(true),
        NO_ACCESS_PLATFORM(true),
        DRIVER_GAVE_UP(true),
        NOT_STARTED(true),
        IOMMU_NOT_STARTED(true),
        UNKNOWN_ENDPOINT(true),
        UNKNOWN_ALIAS(true),
        NOT_IN_TABLE(true),
        NEVER_ATTACHED(true),
        UNREACHABLE_MEMORY(true),
        LIMIT(true),
        FAULTS(true),
        DEVICE_TROUBLE(true);

        private final boolean isProblem;

        Cause(boolean isProblem) {
            this.isProblem = isProblem;
        }

        /** False if all is as it should be. */
        public boolean isProblem() {
            return isProblem;
        }
    }

    /**
     * One finding.
     *
     * @param device {@code machine/device}
     * @param text what is seen
     * @param remedy what to do; empty if nothing is to be done
     */
    public record Finding(String device, Cause cause, String text, String remedy) {}

    public Diagnosis {
        findings = List.copyOf(findings);
    }

    /** True if every device is translated, or would be if it did anything. */
    public boolean isFine() {
        return findings.stream().noneMatch(finding -> finding.cause.isProblem);
    }

    /** For people. */
    public String text() {
        StringBuilder out = new StringBuilder();
        for (Finding finding : findings) {
            out.append(
                    "%s %s: %s%n"
                            .formatted(
                                    finding.cause.isProblem ? "PROBLEM" : "ok",
                                    finding.device,
                                    finding.text));
            if (!finding.remedy.isEmpty()) {
                out.append("  do: ").append(finding.remedy).append('\n');
            }
        }
        return out.toString();
    }

    /** Judges what was seen of the machines. */
    public static Diagnosis of(List<MachineView> machines) {
        List<Finding> findings = new ArrayList<>();
        for (MachineView machine : machines) {
            if (!machine.answers()) {
                findings.add(
                        new Finding(
                                machine.name(),
                                Cause.LOOP_STUCK,
                                "the machine's loop does not answer",
                                "this is a bug of Ioasis: please report what `ioasis dump` prints, the stack of"
                                        + " the loop's thread"));
            }
            for (IommuView iommu : machine.iommus()) {
                String name = machine.name() + "/" + iommu.name();
                Finding unable = iommu(name, iommu);
                if (unable != null) {
                    findings.add(unable);
                }
                Finding limit = limit(name, iommu);
                if (limit != null) {
                    findings.add(limit);
                }
                Finding unknown = unknown(name, iommu);
                if (unknown != null) {
                    findings.add(unknown);
                }
                for (EndpointView endpoint : iommu.endpoints()) {
                    findings.add(endpoint(machine.name() + "/" + endpoint.name(), iommu, endpoint));
                }
            }
        }
        return new Diagnosis(findings);
    }

    private static @Nullable Finding iommu(String name, IommuView iommu) {
        Finding unable = session(name, iommu.server());
        if (unable == null) {
            unable = broken(name, iommu.device());
        }
        boolean gaveUp = iommu.device().hasGivenUp();
        if (unable == null && (gaveUp || !iommu.device().isStarted())) {
            unable =
                    new Finding(
                            name,
                            gaveUp ? Cause.DRIVER_GAVE_UP : Cause.IOMMU_NOT_STARTED,
                            gaveUp
                                    ? "the guest's driver of the IOMMU has given up (FAILED)"
                                    : "no driver in the guest has started the IOMMU",
                            "does the guest's kernel have virtio_iommu (CONFIG_VIRTIO_IOMMU), loaded or built in?"
                                    + " Does its log name a VIOT? Give QEMU -acpitable with the table of"
                                    + " `ioasis serve`, and no IOMMU of its own");
        }
        return unable;
    }

    /** That a limit of ours has refused requests, which drivers may take for success. */
    private static @Nullable Finding limit(String name, IommuView iommu) {
        Refusal limit = iommu.lastLimit();
        if (limit == null) {
            return null;
        }
        return new Finding(
                name,
                Cause.LIMIT,
                "%d requests were answered NOMEM; the last of them found the limit %s"
                        .formatted(iommu.refusedByLimit(), key(limit)),
                "raise %s in a configuration (docs/config.md), unless the guest maps without end; Linux does not tell its"
                                .formatted(key(limit))
                        + " drivers that a MAP has failed, so that their devices meet refused accesses later");
    }

    private static String key(Refusal limit) {
        return switch (limit) {
            case DOMAIN_LIMIT -> "domains_max";
            case MAPPING_LIMIT -> "mappings_max";
            case ENDPOINT_MAPPING_LIMIT -> "endpoint_mappings_max";
            case TABLE_MEMORY -> "tables_max or endpoint_tables_max";
            default -> throw new IllegalArgumentException(limit + " is no limit");
        };
    }

    /** That the driver asked for what is not there, unless all went well in spite of it. */
    private static @Nullable Finding unknown(String name, IommuView iommu) {
        long id = iommu.unknownEndpoint();
        boolean isAlias = iommu.endpoints().stream().anyMatch(one -> isAlias(id, one.id()));
        boolean isHarmless =
                !iommu.device().hasGivenUp()
                        && iommu.endpoints().stream().allMatch(one -> one.domain() >= 0);
        if (id < 0 || isAlias || isHarmless) {
            return null;
        }
        return new Finding(
                name,
                Cause.UNKNOWN_ENDPOINT,
                "the guest's driver asked for endpoint 0x%x (%s, if ids are the functions' numbers), which is not"
                                .formatted(id, function(id))
                        + " there, and was answered NOENT: Linux 7 gives up the whole IOMMU then, without a word",
                "the VIOT names more than is served: let its range end before 0x%x and begin behind it, or serve with"
                                .formatted(id)
                        + " --present 0x%x (present = [0x%x] in a configuration)"
                                .formatted(id, id));
    }

    private static String function(long id) {
        return "%02x:%02x.%x".formatted(id >> 8, id >> 3 & 0x1f, id & 7);
    }

    /**
     * Whether a function may be known by {@code alias} because a PCIe-to-PCI bridge stands before
     * it: requests of the bus behind carry the number of its function 0 (PCIe-to-PCI bridge
     * specification, 2.3).
     */
    private static boolean isAlias(long alias, long id) {
        return alias >> 8 > 0 && (alias & 0xff) == 0 && alias >> 8 == id >> 8 && alias != id;
    }

    private static @Nullable Finding alias(String name, IommuView iommu, EndpointView endpoint) {
        long alias = iommu.unknownEndpoint();
        // Linux may start the device all the same and use addresses that it never mapped.
        boolean isAtWork = endpoint.counts().translations() > 0 && endpoint.counts().faults() == 0;
        if (!isAlias(alias, endpoint.id()) || isAtWork) {
            return null;
        }
        return new Finding(
                name,
                Cause.UNKNOWN_ALIAS,
                "the guest's driver attaches endpoint 0x%x too (%s), the alias of the PCIe-to-PCI bridge that endpoint"
                                .formatted(alias, function(alias))
                        + " 0x%x is behind, and was answered NOENT: its DMA is not what it mapped"
                                .formatted(endpoint.id()),
                "add alias=0x%x to the device's option, or aliases = [0x%x] to its part of the configuration"
                        .formatted(alias, alias));
    }

    private static @Nullable Finding session(String name, ServedInfo server) {
        boolean isUnshared =
                server.isMemoryUnshared() || (server.hasClient() && server.sharedBytes() == 0);
        if (isUnshared && (server.hasClient() || server.isMemoryUnshared())) {
            return new Finding(
                    name,
                    Cause.MEMORY_NOT_SHARED,
                    server.isMemoryUnshared()
                            ? "the VMM has guest memory that it does not share"
                            : "the VMM has told of %d regions of memory and shares none of them"
                                    .formatted(server.regions()),
                    "give QEMU -object memory-backend-memfd,id=mem,size=...,share=on and"
                            + " -machine memory-backend=mem");
        }
        if (!server.hasClient()) {
            return new Finding(
                    name,
                    Cause.NO_VMM,
                    server.sessions() == 0
                            ? "no VMM has connected to " + server.socket()
                            : "no VMM is connected; the last one ended with: " + server.lastEnd(),
                    "start QEMU with the -device vfio-user-pci that `ioasis serve` printed for this socket");
        }
        return null;
    }

    private static @Nullable Finding unreachable(String name, ServedInfo server) {
        return server.unreachableAccesses() == 0
                ? null
                : new Finding(
                        name,
                        Cause.UNREACHABLE_MEMORY,
                        "%d accesses were refused: they led to memory that the VMM has and does not share, as that of a"
                                        .formatted(server.unreachableAccesses())
                                + " display",
                        "let the driver use buffers in RAM for this device");
    }

    private static @Nullable Finding broken(String name, DeviceView device) {
        return device.broken() == null
                ? null
                : new Finding(
                        name,
                        Cause.NEEDS_RESET,
                        "the device has stopped: " + device.broken(),
                        "the driver broke a rule of virtio or its memory went away; a reset of the device"
                                + " (unbind and bind the driver) starts it again");
    }

    private static Finding endpoint(String name, IommuView iommu, EndpointView endpoint) {
        DeviceView device = endpoint.device();
        Trouble trouble = endpoint.trouble();
        // What has ended the VMM's session comes before that there is none.
        Finding unable =
                device == null && trouble != null
                        ? new Finding(name, Cause.DEVICE_TROUBLE, trouble.text(), trouble.remedy())
                        : session(name, endpoint.server());
        if (unable == null) {
            unable = alias(name, iommu, endpoint);
        }
        if (unable == null && device != null) {
            unable = broken(name, device);
        }
        if (unable == null) {
            unable = device == null ? master(name, iommu, endpoint) : start(name, device);
        }
        if (unable == null) {
            unable = attachment(name, iommu, endpoint);
        }
        if (unable == null) {
            unable = unreachable(name, endpoint.server());
        }
        if (unable == null) {
            unable = faults(name, iommu, endpoint);
        }
        if (unable == null && trouble != null) {
            unable = new Finding(name, Cause.DEVICE_TROUBLE, trouble.text(), trouble.remedy());
        }
        if (unable != null) {
            return unable;
        }
        return endpoint.counts().translations() > 0
                ? new Finding(
                        name,
                        Cause.TRANSLATED,
                        "translated: %d accesses through domain 0x%x"
                                .formatted(endpoint.counts().translations(), endpoint.domain()),
                        "")
                : new Finding(
                        name,
                        Cause.IDLE,
                        "attached to domain 0x%x and will be translated; %s"
                                .formatted(
                                        endpoint.domain(),
                                        endpoint.silence().isEmpty()
                                                ? "it has not accessed memory yet"
                                                : endpoint.silence()),
                        "");
    }

    private static @Nullable Finding master(String name, IommuView iommu, EndpointView endpoint) {
        if (endpoint.isMaster()) {
            return null;
        }
        String now = "no driver in the guest lets the device touch memory (COMMAND.MASTER is 0)";
        String before = endpoint.silence().isEmpty() ? "" : "; before that " + endpoint.silence();
        return endpoint.counts().faults() == 0
                ? new Finding(
                        name,
                        Cause.NOT_STARTED,
                        now + before,
                        "is its driver in the guest, and bound to it?")
                : new Finding(
                        name,
                        Cause.FAULTS,
                        now + "; before that " + refused(iommu, endpoint),
                        remedy(iommu));
    }

    private static @Nullable Finding start(String name, DeviceView device) {
        if (device.isStarted()) {
            return null;
        }
        boolean hasChosen = device.features() != 0;
        if (hasChosen && !device.has(Virtio.F_ACCESS_PLATFORM)) {
            return new Finding(
                    name,
                    Cause.NO_ACCESS_PLATFORM,
                    "the driver does not accept VIRTIO_F_ACCESS_PLATFORM (features 0x%x), and the device refuses to"
                                    .formatted(device.features())
                            + " go past the IOMMU",
                    "use a driver that accepts feature bit 33; a legacy or transitional one does not");
        }
        if ((device.status() & Virtio.STATUS_FAILED) != 0) {
            return new Finding(
                    name,
                    Cause.DRIVER_GAVE_UP,
                    "the guest's driver has given up on the device (FAILED)",
                    "the guest's log says why");
        }
        return new Finding(
                name,
                Cause.NOT_STARTED,
                device.status() == 0
                        ? "no driver in the guest uses the device"
                        : "the driver has begun (status 0x%x) and not started the device"
                                .formatted(device.status()),
                "is the driver in the guest? A device that waits for its IOMMU's driver (deferred probe) starts"
                        + " when virtio_iommu is loaded");
    }

    private static @Nullable Finding attachment(
            String name, IommuView iommu, EndpointView endpoint) {
        if (endpoint.domain() >= 0) {
            return endpoint.isIdentity()
                    ? new Finding(
                            name,
                            Cause.PASSTHROUGH,
                            "the guest has asked for no translation: domain 0x%x is a bypass domain"
                                    .formatted(endpoint.domain()),
                            "boot the guest without iommu.passthrough=1 or iommu=pt, or write DMA to the type of"
                                    + " its iommu group")
                    : null;
        }
        String consequence =
                iommu.isBypassing()
                        ? "%d accesses went untranslated (bypass is 1)"
                                .formatted(endpoint.counts().bypassed())
                        : "its accesses are refused (bypass is 0)";
        if (!iommu.device().isStarted()) {
            return new Finding(
                    name,
                    Cause.IOMMU_NOT_STARTED,
                    "no driver in the guest has started the IOMMU; " + consequence,
                    "see the IOMMU's own line");
        }
        if (!endpoint.wasProbed() && !endpoint.wasAttached()) {
            String other =
                    iommu.unknownEndpoint() < 0
                            ? ""
                            : "; it asked for endpoint 0x%x, which is not there"
                                    .formatted(iommu.unknownEndpoint());
            return new Finding(
                    name,
                    Cause.NOT_IN_TABLE,
                    "the guest does not know that endpoint 0x%x is behind the IOMMU%s; %s"
                            .formatted(endpoint.id(), other, consequence),
                    "the VIOT must map the device's PCI function to this endpoint: compare"
                            + " `ioasis viot --check FILE` with the device's address in the guest");
        }
        return new Finding(
                name,
                Cause.NEVER_ATTACHED,
                "%s; %s"
                        .formatted(
                                endpoint.wasAttached()
                                        ? "it was attached and has been detached"
                                        : "the guest knows it and has attached it to no domain",
                                consequence),
                "the guest's log says why its IOMMU group got no domain; is a driver bound to the device?");
    }

    private static List<Fault> of(EndpointView endpoint, List<Fault> faults) {
        return faults.stream()
                .filter(fault -> Integer.toUnsignedLong(fault.endpoint()) == endpoint.id())
                .toList();
    }

    private static @Nullable Finding faults(String name, IommuView iommu, EndpointView endpoint) {
        return endpoint.counts().faults() == 0
                ? null
                : new Finding(name, Cause.FAULTS, refused(iommu, endpoint), remedy(iommu));
    }

    /** How many accesses were refused, the first of them and the last. */
    private static String refused(IommuView iommu, EndpointView endpoint) {
        List<Fault> firsts = of(endpoint, iommu.firstFaults());
        List<Fault> lasts = of(endpoint, iommu.recentFaults());
        String first =
                firsts.isEmpty() ? "" : "; the first: " + Machine.describe(firsts.getFirst());
        boolean isOne =
                lasts.size() == 1
                        && !firsts.isEmpty()
                        && firsts.getFirst().equals(lasts.getFirst());
        String last =
                lasts.isEmpty() || isOne ? "" : "; the last: " + Machine.describe(lasts.getLast());
        return "%d accesses were refused%s%s".formatted(endpoint.counts().faults(), first, last);
    }

    private static String remedy(IommuView iommu) {
        return iommu.lastLimit() == null
                ? "the driver let the device use an address that it had not mapped, or unmapped too early;"
                        + " `ioasis serve --trace FILE` shows each MAP and UNMAP"
                : "the IOMMU's own line names a limit of ours: a MAP that it refused may be the cause, and not the"
                        + " driver; `ioasis serve --trace FILE` says which";
    }
}
