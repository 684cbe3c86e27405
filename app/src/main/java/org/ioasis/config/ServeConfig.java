// SPDX-License-Identifier: Apache-2.0
package org.ioasis.config;

import java.nio.file.Path;
import java.util.List;
import java.util.stream.IntStream;
import org.ioasis.iommu.EndpointProperties;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.live.TraceConfig;
import org.ioasis.machine.DeviceOptions;
import org.ioasis.machine.IommuTransport;
import org.ioasis.topology.Viot;
import org.ioasis.virtio.iommu.Injection;
import org.ioasis.virtio.iommu.Profile;
import org.ioasis.virtqueue.RingFormat;
import org.jspecify.annotations.Nullable;

/**
 * What one process serves, checked: names, sockets, functions and endpoint ids are unique where
 * they must be. Immutable.
 *
 * @param control where the server is asked about itself, or null for the usual place
 * @param trace where to write the trace, or null for none
 */
public record ServeConfig(
        List<MachineConfig> machines, @Nullable Path control, @Nullable TraceConfig trace) {

    /** Name of the control socket beside the first socket, unless another place is given. */
    public static final String CONTROL_NAME = "ioasis-control.sock";

    public ServeConfig {
        machines = List.copyOf(machines);
    }

    /**
     * One virtual machine.
     *
     * @param pollNanos how long its loop goes on looking for work before it blocks
     * @param maxDmaMaps regions of memory that a VMM may tell each of its devices of
     * @param rings PACKED: its devices offer packed rings beside split ones
     * @param viot where its topology table is written
     */
    public record MachineConfig(
            String name,
            long pollNanos,
            int maxDmaMaps,
            RingFormat rings,
            Path viot,
            List<IommuConfig> iommus) {
        public MachineConfig {
            iommus = List.copyOf(iommus);
        }

        /** Its topology table: each IOMMU, and exactly the functions behind it. */
        public byte[] table() {
            List<Viot.Iommu> nodes =
                    iommus.stream().map(iommu -> new Viot.Iommu(0, iommu.bdf())).toList();
            List<Viot.PciRange> ranges =
                    IntStream.range(0, iommus.size())
                            .boxed()
                            .flatMap(i ->
                                    iommus.get(i).devices().stream()
                                            .map(device ->
                                                    new Viot.PciRange(
                                                            i,
                                                            0,
                                                            device.bdf(),
                                                            device.bdf(),
                                                            Integer.toUnsignedLong(
                                                                    device.options()
                                                                            .place()
                                                                            .endpoint()))))
                            .toList();
            return Viot.table(Viot.Oem.SERVED, nodes, ranges, Viot.OwnFunction.REFUSED);
        }
    }

    /**
     * One IOMMU, and what is behind it.
     *
     * @param profile what it is besides virtio 1.4, or null
     */
    public record IommuConfig(
            String name,
            Path socket,
            IommuTransport transport,
            int bdf,
            IommuOptions options,
            @Nullable Profile profile,
            List<DeviceConfig> devices,
            List<PresentConfig> present,
            List<Injection> injections) {
        public IommuConfig {
            devices = List.copyOf(devices);
            present = List.copyOf(present);
            injections = List.copyOf(injections);
        }
    }

    /** One device at its place on the bus. */
    public record DeviceConfig(DeviceOptions<?> options, int bdf) {}

    /**
     * An endpoint that is answered for and whose accesses do not come through us: a function of the
     * VMM's that the table names, or the alias of a bridge.
     *
     * @param endpoint 32-bit unsigned
     */
    public record PresentConfig(int endpoint, EndpointProperties properties) {}

    /** Where the server is asked about itself. */
    public Path controlSocket() {
        return control != null
                ? control
                : machines.getFirst().iommus().getFirst().socket().resolveSibling(CONTROL_NAME);
    }
}
