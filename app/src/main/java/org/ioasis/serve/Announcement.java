// SPDX-License-Identifier: Apache-2.0
package org.ioasis.serve;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.ioasis.config.ServeConfig;
import org.ioasis.config.ServeConfig.DeviceConfig;
import org.ioasis.config.ServeConfig.IommuConfig;
import org.ioasis.config.ServeConfig.MachineConfig;
import org.ioasis.vm.QemuCommand;
import org.ioasis.vm.VhostUserIommu;

/** What a server says when it is ready: its sockets, and how a VMM uses them. Any thread. */
final class Announcement {
    private static final String MEMORY = "512M";

    /** Nobody else's: many command lines have an object "mem" already. */
    private static final String MEMORY_ID = "ioasis-mem";

    private Announcement() {}

    /** The lines, for a terminal or a script. */
    static List<String> of(ServeConfig config) {
        List<String> lines = new ArrayList<>();
        for (MachineConfig machine : config.machines()) {
            for (IommuConfig iommu : machine.iommus()) {
                lines.add(ready(machine, iommu.name(), iommu.socket()));
                for (DeviceConfig device : iommu.devices()) {
                    lines.add(
                            ready(
                                    machine,
                                    device.options().place().name(),
                                    device.options().place().socket()));
                }
            }
        }
        lines.add("control " + absolute(config.controlSocket()));
        for (MachineConfig machine : config.machines()) {
            lines.add("viot " + machine.name() + " " + absolute(machine.viot()));
        }
        for (MachineConfig machine : config.machines()) {
            lines.add(
                    "# QEMU 10.1 or newer for %s, behind your own -machine q35 or pc and devices; the size of the memory (-m and size) is yours to choose:"
                            .formatted(machine.name()));
            List<String> words = arguments(machine);
            for (int i = 0; i < words.size(); i += 2) {
                lines.add(
                        "  %s %s%s"
                                .formatted(
                                        words.get(i),
                                        QemuCommand.quotedShell(words.get(i + 1)),
                                        i + 2 < words.size() ? " \\" : ""));
            }
        }
        return lines;
    }

    private static String ready(MachineConfig machine, String device, Path socket) {
        return "ready %s/%s %s".formatted(machine.name(), device, absolute(socket));
    }

    /** Options of QEMU, each with its value. */
    private static List<String> arguments(MachineConfig machine) {
        List<String> words = new ArrayList<>();
        // Without a type: QEMU puts this together with the -machine that stands there already.
        words.addAll(List.of("-machine", "memory-backend=" + MEMORY_ID, "-m", MEMORY));
        // Shared by descriptor: a vfio-user server reads and writes it directly.
        words.addAll(
                List.of(
                        "-object",
                        "memory-backend-memfd,id=%s,size=%s,share=on"
                                .formatted(MEMORY_ID, MEMORY)));
        // In a list of options a comma is written twice.
        words.addAll(
                List.of(
                        "-acpitable",
                        "file=" + absolute(machine.viot()).toString().replace(",", ",,")));
        for (IommuConfig iommu : machine.iommus()) {
            add(words, iommu);
            for (DeviceConfig device : iommu.devices()) {
                add(words, device.bdf(), device.options().place().socket());
            }
        }
        return words;
    }

    private static void add(List<String> words, IommuConfig iommu) {
        switch (iommu.transport()) {
            case VFIO_USER -> add(words, iommu.bdf(), iommu.socket());
            case VHOST_USER -> {
                String id = "ioasis-" + iommu.name();
                String where =
                        iommu.mmioBase().isPresent()
                                ? VhostUserIommu.mmio(id, iommu.mmioBase().getAsLong())
                                : VhostUserIommu.pci(id, iommu.bdf());
                words.addAll(
                        List.of(
                                "-chardev",
                                "socket,id=%s,path=%s"
                                        .formatted(
                                                id,
                                                absolute(iommu.socket())
                                                        .toString()
                                                        .replace(",", ",,"))));
                words.addAll(List.of("-device", where));
            }
        }
    }

    private static void add(List<String> words, int bdf, Path socket) {
        words.add("-device");
        words.add(new QemuCommand.Function(bdf >>> 3, bdf & 7, absolute(socket)).json());
    }

    private static Path absolute(Path path) {
        return path.toAbsolutePath().normalize();
    }
}
