// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vhostuser;

import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static java.util.Objects.requireNonNull;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.VarHandle;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import org.ioasis.iommu.DomainView;
import org.ioasis.iommu.EndpointProperties;
import org.ioasis.iommu.Iommu;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.iommu.fault.FaultQueue;
import org.ioasis.iommu.mapping.MappingStores;
import org.ioasis.iommu.mapping.TableMemory;
import org.ioasis.iommu.mapping.TablePool;
import org.ioasis.loop.EventLoop;
import org.ioasis.loop.IdlePolicy;
import org.ioasis.loop.Polled;
import org.ioasis.memory.Access;
import org.ioasis.memory.DirectDma;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Guards;
import org.ioasis.memory.GuestMemory;
import org.ioasis.memory.Outcome;
import org.ioasis.peer.LogLines;
import org.ioasis.spec.Virtio;
import org.ioasis.virtio.iommu.VirtioIommuDevice;

/**
 * A back end whose device is an IOMMU with two endpoints; as a program, one that says on a line
 * what its state is, or what endpoint 1 reaches, when it is asked.
 */
final class IommuBackEnd implements AutoCloseable {
    static final int ENDPOINTS = 2;
    private static final long TABLE_BYTES = 1 << 22;
    private static final int WAIT = 10;

    final Guards guards = new Guards(System::nanoTime, lease -> {});
    final EventLoop loop;
    final Iommu iommu;
    final VirtioIommuDevice type;
    final VhostUserDevice device;
    final VhostUserServer server;
    private final Dma endpointDma;

    IommuBackEnd(Path socket) throws IOException {
        GuestMemory memory = new GuestMemory(guards, BackEndFixture.REGIONS);
        loop =
                new EventLoop(
                        "test-loop",
                        Polled.of(guards::hasPending, guards::poll),
                        System::nanoTime,
                        IdlePolicy.EVENT_DRIVEN);
        IommuOptions options = IommuOptions.builder().detachByEndpoint(false).build();
        iommu =
                new Iommu(
                        options,
                        guards,
                        new FaultQueue(64, 1000, System::nanoTime),
                        MappingStores.forPageSizes(
                                options.pageSizeMask(),
                                new TablePool(new Tables(), TABLE_BYTES, guards)));
        type = new VirtioIommuDevice(iommu, loop::execute);
        device =
                new VhostUserDevice(
                        type,
                        new DirectDma(memory, guards.open()),
                        Virtio.F_VERSION_1 | Virtio.F_RING_PACKED | Virtio.F_INDIRECT_DESC);
        for (int id = 1; id <= ENDPOINTS; id++) {
            iommu.plug(id, EndpointProperties.UNLIMITED);
        }
        endpointDma = iommu.dma(requireNonNull(iommu.endpoint(1)), memory, guards.open());
        server =
                new VhostUserServer(
                        loop, socket, device, memory, BackEndFixture.BYTES, new LogLines());
        loop.start();
    }

    /** Checked memory for tables. */
    private static final class Tables extends TableMemory {
        private static final VarHandle WORD = JAVA_LONG.varHandle();
        private static final long FIRST = 512;
        private final MemorySegment segment =
                MemorySegment.ofArray(new long[(int) (FIRST + TABLE_BYTES / Long.BYTES)]);

        @Override
        public long first() {
            return FIRST;
        }

        @Override
        public long size() {
            return segment.byteSize() / Long.BYTES - FIRST;
        }

        @Override
        public long get(long word) {
            return segment.getAtIndex(JAVA_LONG, word);
        }

        @Override
        public long getAcquire(long word) {
            return (long) WORD.getAcquire(segment, word * Long.BYTES);
        }

        @Override
        public void setRelease(long word, long value) {
            WORD.setRelease(segment, word * Long.BYTES, value);
        }

        @Override
        public void clear(long word, long count) {
            segment.asSlice(word * Long.BYTES, count * Long.BYTES).fill((byte) 0);
        }
    }

    /** Runs on the loop, and is done when this returns. */
    void run(Runnable task) {
        if (!loop.executeAndWait(task, BackEndFixture.BYTES * WAIT)) {
            throw new IllegalStateException(loop.dump());
        }
    }

    /** Who is attached where and what is mapped, on one line; why it needs a reset, if it does. */
    String state() {
        StringBuilder out = new StringBuilder();
        run(() -> {
            String broken = device.device().brokenReason();
            if (broken != null) {
                out.append(broken).append(", bypass ").append(iommu.isBypassing()).append(": ");
            }
            for (DomainView domain : iommu.domains(Integer.MAX_VALUE, Integer.MAX_VALUE)) {
                append(out, domain);
            }
        });
        return out.toString();
    }

    private static void append(StringBuilder out, DomainView domain) {
        out.append(domain.id()).append(domain.endpoints().stream().sorted().toList());
        for (DomainView.MappingView mapping : domain.mappings()) {
            out.append(" %x-%x>%x".formatted(mapping.first(), mapping.last(), mapping.output()));
        }
        out.append("; ");
    }

    /** What an access of endpoint 1 comes to. */
    Outcome reach(long iova) {
        Outcome[] outcome = new Outcome[1];
        run(() -> {
            endpointDma.enter();
            outcome[0] = endpointDma.resolve(iova, 1, Access.READ);
            endpointDma.leave();
        });
        return outcome[0];
    }

    @Override
    public void close() {
        server.close();
        loop.close();
    }

    /** Serves at a socket until it is killed, or its parent is gone. */
    public static void main(String[] arguments) throws Exception {
        IommuBackEnd backEnd = new IommuBackEnd(Path.of(arguments[0]));
        System.out.println("ready");
        BufferedReader asked =
                new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = asked.readLine(); line != null; line = asked.readLine()) {
            System.out.println(
                    line.equals("state") ? backEnd.state() : backEnd.reach(Long.decode(line)));
        }
        backEnd.close();
    }
}
