// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.locks.LockSupport;
import org.ioasis.pci.VirtioPciTransport;

/**
 * One of the two devices that are compared, in its machine: what a driver and an endpoint can do
 * with it and can see of it. One thread.
 */
final class Subject implements Candidate {
    /** The IOMMU's place on the bus, 00:01.0. */
    private static final int BDF = 0x08;

    private static final int BARS = 0xe000_0000;

    /** Reset Control Register of the chipset; this value resets the whole machine. */
    private static final int RESET_PORT = 0xcf9;

    private static final int RESET_MACHINE = 6;

    private static final long PAUSE_NANOS = 20_000;

    private final String name;
    private final QtestVmm vmm;
    private final DmaEngine dma;
    private final long patienceNanos;
    private final MemorySegment ram;
    private final PciDevice function;
    private final VirtioPciTransport transport;
    private final Seat seat;

    /**
     * @param patience how long the device may take for an answer
     */
    Subject(String name, QtestVmm vmm, DmaEngine dma, Duration patience) {
        patienceNanos = patience.toNanos();
        this.name = name;
        this.vmm = vmm;
        this.dma = dma;
        ram = vmm.ram();
        function = new PciDevice(vmm.qtest(), BDF);
        transport = new VirtioPciTransport(new QtestBus(vmm.qtest(), function));
        seat = new RingSeat(name, transport, ram, patienceNanos, () -> {}, vmm::said);
    }

    @Override
    public Seat seat() {
        return seat;
    }

    String name() {
        return name;
    }

    /** What QEMU wrote to its error output, for a message. */
    String said() {
        return vmm.said();
    }

    /** Does what firmware does. */
    void boot() throws IOException {
        function.enable(BARS);
        transport.locate();
        dma.enable();
    }

    /** Resets the machine and boots it; the device is not started. */
    void reboot() throws IOException {
        vmm.qtest().out8(RESET_PORT, RESET_MACHINE);
        // It is done by QEMU's main loop, after the answer.
        long deadline = System.nanoTime() + patienceNanos;
        while (function.isEnabled()) {
            if (System.nanoTime() - deadline > 0) {
                throw new IOException(name + ": the machine is not reset" + vmm.said());
            }
            LockSupport.parkNanos(PAUSE_NANOS);
        }
        boot();
    }

    // --- accesses

    @Override
    public List<Integer> endpoints() {
        return Requests.ENDPOINTS;
    }

    @Override
    public List<Integer> absent() {
        return Requests.STRANGERS;
    }

    /** Lets the endpoint access memory, and looks what is different then. */
    @Override
    public Effect access(Step.Access access) throws IOException, InterruptedException {
        Windows.clean(ram);
        dma.access(access);
        return new Effect(Windows.changed(ram), seat.event());
    }

    @Override
    public void close() throws IOException {
        vmm.close();
    }
}
