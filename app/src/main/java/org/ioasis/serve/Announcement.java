// SPDX-License-Identifier: Apache-2.0
package org.ioasis.serve;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.ioasis.config.ServeConfig;
import org.ioasis.config.ServeConfig.DeviceConfig;
import org.ioasis.config.ServeConfig.IommuConfig;
import org.ioasis.config.ServeConfig.MachineConfig;
import org.ioasis.machine.IommuTransport;
import org.ioasis.topology.QemuArguments;
import org.ioasis.topology.VhostUserIommu;

/** What a server says when it is ready: its sockets, and how a VMM uses them. Any thread. */
final class Announcement {
    private Announcement() {}

    /** The lines, for a terminal or a script. */
    static List<String> of(ServeConfig config) {
        return of(config, List.of());
    }

    /**
     * The same with lines on where else it can be looked at.
     *
     * @param shown one each
     */
    static List<String> of(ServeConfig config, List<String> shown) {
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
        lines.addAll(shown);
        for (MachineConfig machine : config.machines()) {
            lines.add("viot " + machine.name() + " " + absolute(machine.viot()));
        }
        for (MachineConfig machine : config.machines()) {
            lines.add(
                    "# QEMU %s or newer for %s, behind your own -machine q35 or pc and devices; the size of the memory (-m and size) is yours to choose:"
                            .formatted(oldest(machine), machine.name()));
            lines.addAll(QemuArguments.lines(arguments(machine)));
        }
        return lines;
    }

    /** The first QEMU that has all devices of the arguments. */
    private static String oldest(MachineConfig machine) {
        return machine.iommus().stream()
                        .anyMatch(iommu -> iommu.transport() == IommuTransport.VHOST_USER)
                ? "11"
                : "10.1";
    }

    private static String ready(MachineConfig machine, String device, Path socket) {
        return "ready %s/%s %s".formatted(machine.name(), device, absolute(socket));
    }

    /** Options of QEMU, each with its value. */
    private static List<String> arguments(MachineConfig machine) {
        List<QemuArguments.Attached> functions = new ArrayList<>();
        for (IommuConfig iommu : machine.iommus()) {
            functions.add(
                    switch (iommu.transport()) {
                        case VFIO_USER -> function(iommu.bdf(), iommu.socket());
                        case VHOST_USER ->
                                VhostUserIommu.onPci(iommu.name(), iommu.socket(), iommu.bdf());
                    });
            for (DeviceConfig device : iommu.devices()) {
                functions.add(function(device.bdf(), device.options().place().socket()));
            }
        }
        return QemuArguments.of(machine.viot(), functions);
    }

    private static QemuArguments.Function function(int bdf, Path socket) {
        return new QemuArguments.Function(bdf >>> 3, bdf & 7, socket);
    }

    private static Path absolute(Path path) {
        return path.toAbsolutePath().normalize();
    }
}
