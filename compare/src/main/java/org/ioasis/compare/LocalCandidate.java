// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.function.LongSupplier;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.machine.LocalIommu;
import org.ioasis.machine.Machine;
import org.ioasis.memory.Access;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Outcome;
import org.jspecify.annotations.Nullable;

/** Our device, in this process. One thread. */
final class LocalCandidate implements Candidate {
    private static final long PATIENCE_NANOS = 1_000_000_000L;

    /** Faults that come faster are counted and not told to the driver. */
    private static final long NANOS_BETWEEN = 5_000_000;

    private final Arena arena = Arena.ofConfined();
    private final MemorySegment ram = arena.allocate(QtestVmm.RAM_BYTES, Requests.PAGE);
    private final LocalIommu iommu;
    private final Seat seat;
    private final Dma dma;

    LocalCandidate(IommuOptions options) throws IOException {
        iommu = new LocalIommu(options, ram, 0, steps());
        dma = iommu.plug(Requests.DMA_ENDPOINT, Machine.X86_ENDPOINT);
        for (int endpoint : Requests.ENDPOINTS) {
            if (endpoint != Requests.DMA_ENDPOINT) {
                Dma _ = iommu.plug(endpoint, Machine.X86_ENDPOINT);
            }
        }
        seat = new RingSeat("ours", iommu.transport(), ram, PATIENCE_NANOS, iommu::turn, () -> "");
    }

    /** Time goes on as it is asked for: nothing here waits for any. */
    private static LongSupplier steps() {
        long[] now = new long[1];
        return () -> now[0] += NANOS_BETWEEN;
    }

    @Override
    public Seat seat() {
        return seat;
    }

    @Override
    public List<Integer> endpoints() {
        return Requests.ENDPOINTS;
    }

    @Override
    public List<Integer> absent() {
        return Requests.STRANGERS;
    }

    @Override
    public @Nullable Effect access(Step.Access access) throws IOException {
        Windows.clean(ram);
        byte[] bytes = new byte[access.length()];
        MemorySegment buffer = MemorySegment.ofArray(bytes);
        dma.enter();
        try {
            Outcome _ =
                    switch (access.isWrite() ? Access.WRITE : Access.READ) {
                        case READ -> dma.read(access.iova(), buffer, 0, bytes.length);
                        case WRITE -> dma.write(access.iova(), buffer, 0, bytes.length);
                    };
        } finally {
            dma.leave();
        }
        iommu.turn();
        return new Effect(Windows.changed(ram), seat.event());
    }

    @Override
    public void close() {
        iommu.close();
        arena.close();
    }
}
