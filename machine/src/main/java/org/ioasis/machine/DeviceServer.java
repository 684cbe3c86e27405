// SPDX-License-Identifier: Apache-2.0
package org.ioasis.machine;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.loop.IdlePolicy;
import org.ioasis.topology.QemuArguments;
import org.ioasis.topology.Viot;

/**
 * Functions of one's own behind a virtio-iommu, each on a socket, for a VMM that somebody else
 * starts: the simple case of a {@link Machine}, with a place on the bus for each and the words for
 * QEMU. Made and closed by one thread; the functions are called by another.
 */
public final class DeviceServer implements AutoCloseable {
    /** A q35 and a pc give these to no device of their own; the IOMMU has the first. */
    private static final int SLOT_FIRST = 0x10;

    /** Most functions of one's own. */
    public static final int FUNCTIONS_MAX = 9;

    private final Machine machine;
    private final List<QemuArguments.Function> functions;

    private DeviceServer(Machine machine, List<QemuArguments.Function> functions) {
        this.machine = machine;
        this.functions = List.copyOf(functions);
    }

    /**
     * A server piece by piece, beginning with the IOMMU.
     *
     * @param socket where the VMM connects it; a socket that nobody listens at is replaced, any
     *     other file is left alone and refused
     */
    public static Builder iommu(Path socket) {
        return new Builder(socket);
    }

    /** A server piece by piece. One thread. */
    public static final class Builder {
        private final Path socket;
        private final List<FunctionOptions> functions = new ArrayList<>();
        private IommuOptions options = IommuOptions.DEFAULT;
        private IdlePolicy idle = IdlePolicy.ADAPTIVE;

        private Builder(Path socket) {
            this.socket = socket;
        }

        /**
         * A function behind the IOMMU.
         *
         * @param name what reports call it
         * @param functionSocket where the VMM connects it, as for the IOMMU
         * @throws IllegalStateException there are {@link #FUNCTIONS_MAX}
         */
        public Builder function(String name, Path functionSocket, FunctionMaker maker) {
            if (functions.size() == FUNCTIONS_MAX) {
                throw new IllegalStateException("there are " + FUNCTIONS_MAX + " functions");
            }
            functions.add(
                    new FunctionOptions(
                            DevicePlace.of(name, functionSocket, bdf(functions.size() + 1)),
                            maker));
            return this;
        }

        /** What the IOMMU offers, and its limits. */
        public Builder options(IommuOptions chosen) {
            options = chosen;
            return this;
        }

        /** What the loop does when there is nothing to do. */
        public Builder idle(IdlePolicy chosen) {
            idle = chosen;
            return this;
        }

        /**
         * Makes the sockets and serves from now on; nothing is left of a start that fails.
         *
         * @throws IOException a socket cannot be made, or a function's maker says so
         */
        public DeviceServer start() throws IOException {
            Machine machine = new Machine("machine", idle);
            boolean isStarted = false;
            try {
                List<QemuArguments.Function> places = new ArrayList<>();
                IommuUnit iommu = machine.addIommu("iommu", options, socket);
                places.add(place(bdf(0), socket));
                for (FunctionOptions each : functions) {
                    machine.add(iommu, each);
                    places.add(place(each.place().endpoint(), each.place().socket()));
                }
                machine.start();
                isStarted = true;
                return new DeviceServer(machine, places);
            } finally {
                if (!isStarted) {
                    machine.close();
                }
            }
        }
    }

    private static int bdf(int index) {
        return Viot.bdf(0, SLOT_FIRST + index, 0);
    }

    private static QemuArguments.Function place(int bdf, Path socket) {
        return new QemuArguments.Function(bdf >>> 3, bdf & 7, socket);
    }

    /**
     * The topology table (VIOT): tells the guest which functions are behind the IOMMU. For a file
     * that {@link #qemuArguments} names.
     */
    public byte[] table() {
        List<Viot.PciRange> ranges = new ArrayList<>();
        for (EndpointDevice device : machine.devices(EndpointDevice.class)) {
            int bdf = device.endpoint().id();
            ranges.add(new Viot.PciRange(0, 0, bdf, bdf, bdf));
        }
        return Viot.table(
                Viot.Oem.SERVED,
                List.of(new Viot.Iommu(0, bdf(0))),
                ranges,
                Viot.OwnFunction.REFUSED);
    }

    /**
     * What a QEMU 10.1 or newer is given behind its own {@code -machine q35} or {@code pc}: lines
     * for a shell.
     *
     * @param table a file with the {@link #table}
     */
    public List<String> qemuArguments(Path table) {
        return QemuArguments.lines(QemuArguments.of(table, functions));
    }

    /** The machine: its IOMMU, counters, faults. */
    public Machine machine() {
        return machine;
    }

    /** Ends the sessions, removes the sockets, ends the threads. Works twice. */
    @Override
    public void close() throws IOException {
        machine.close();
    }
}
