// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.spec.VfioUser.*;
import static org.ioasis.vfiouser.MockVfioUserClient.accessPayload;
import static org.ioasis.vfiouser.MockVfioUserClient.mapPayload;
import static org.ioasis.vfiouser.MockVfioUserClient.unmapPayload;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import org.ioasis.memory.Access;
import org.ioasis.memory.DirectDma;
import org.ioasis.memory.Outcome;
import org.ioasis.sys.Fd;
import org.ioasis.sys.Mapping;
import org.ioasis.sys.Memfd;
import org.junit.jupiter.api.Test;

/**
 * What QEMU sends while SeaBIOS programs the PAM registers of q35: all low RAM goes and comes back
 * in pieces, several times, without waiting for replies in between.
 */
class BootChurnTest {
    private static final long RAM = 512L << 20;
    private static final int RW = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
    private static final int RO = VFIO_DMA_MAP_FLAG_READ;

    private record Piece(long first, long end, int flags, boolean hasFd) {
        long size() {
            return end - first;
        }
    }

    private static Piece rw(long first, long end) {
        return new Piece(first, end, RW, true);
    }

    private static final List<List<Piece>> LAYOUTS =
            List.of(
                    List.of(rw(0, RAM)),
                    List.of(
                            rw(0, 0xc0000),
                            new Piece(0xc0000, 0xe0000, RO, false),
                            new Piece(0xe0000, 0x100000, RO, false),
                            rw(0x100000, RAM)),
                    List.of(
                            rw(0, 0xc0000),
                            rw(0xc0000, 0xe0000),
                            new Piece(0xe0000, 0xf0000, RO, false),
                            rw(0xf0000, 0x100000),
                            rw(0x100000, RAM)),
                    List.of(
                            rw(0, 0xc3000),
                            new Piece(0xc3000, 0xe8000, RO, true),
                            rw(0xe8000, 0xf0000),
                            new Piece(0xf0000, 0x100000, RO, true),
                            rw(0x100000, RAM)));

    @Test
    void pipelinedChurnLeavesExactlyTheLastLayout() throws Exception {
        Resources before = Resources.now();
        try (ServerFixture<RecordingFunction> fixture = ServerFixture.plain();
                Fd ram = Memfd.create("ioasis-ram", RAM)) {
            mark(ram);
            try (MockVfioUserClient client = fixture.ready()) {
                client.send(VFIO_USER_DMA_MAP, 0, mapPayload(0xfffc0000L, 0x40000, 0, RO));
                assertThat(client.receive().isError()).isFalse();
                List<Piece> present = List.of();
                int maps = 0;
                for (int round = 0; round < 4; round++) {
                    for (List<Piece> layout : LAYOUTS) {
                        List<Integer> expected = new ArrayList<>();
                        for (Piece piece : present) {
                            byte[] payload = unmapPayload(piece.first(), piece.size(), 0);
                            expected.add(client.send(VFIO_USER_DMA_UNMAP, 0, payload));
                        }
                        for (Piece piece : layout) {
                            byte[] payload =
                                    mapPayload(
                                            piece.first(),
                                            piece.size(),
                                            piece.hasFd() ? piece.first() : 0,
                                            piece.flags());
                            Fd[] fds = piece.hasFd() ? new Fd[] {ram} : new Fd[0];
                            expected.add(client.send(VFIO_USER_DMA_MAP, 0, payload, fds));
                            maps++;
                        }
                        // A guest that reads a register in the midst of it is answered in order.
                        byte[] read = accessPayload(0, 0, 4, new byte[0]);
                        expected.add(client.send(VFIO_USER_REGION_READ, 0, read));
                        for (int id : expected) {
                            MockVfioUserClient.Reply reply = client.receive();
                            assertThat(reply.id()).isEqualTo(id);
                            assertThat(reply.isError()).isFalse();
                        }
                        assertLayout(fixture, layout);
                        present = layout;
                    }
                }
                assertThat(fixture.function.memoryChanges).hasValue(maps + 1);
            }
            fixture.awaitNoSession();
            assertThat(fixture.memory.regionCount()).isZero();
        }
        assertThat(Resources.now()).isEqualTo(before);
    }

    /** Writes each 4 KiB page's number into the pages that the test looks at. */
    private static void mark(Fd ram) throws Exception {
        try (Mapping mapping = Mapping.map(ram, 0, RAM, true)) {
            for (long page : new long[] {0, 0xc0, 0xc3, 0xe0, 0xe8, 0xf0, 0x100, 0x1ffff}) {
                mapping.segment().set(ValueLayout.JAVA_INT, page << 12, (int) page);
            }
        }
    }

    private static void assertLayout(ServerFixture<RecordingFunction> fixture, List<Piece> layout) {
        assertThat(fixture.memory.regionCount()).isEqualTo(layout.size() + 1);
        DirectDma dma = new DirectDma(fixture.memory, fixture.guards.open());
        MemorySegment value = Arena.ofAuto().allocate(ValueLayout.JAVA_INT);
        for (Piece piece : layout) {
            dma.enter();
            try {
                Outcome read = dma.read(piece.first(), value, 0, 4);
                assertThat(read).isEqualTo(piece.hasFd() ? Outcome.OK : Outcome.REFUSED);
                if (piece.hasFd()) {
                    assertThat(value.get(ValueLayout.JAVA_INT, 0))
                            .isEqualTo((int) (piece.first() >>> 12));
                }
                boolean isWritable = piece.flags() == RW;
                assertThat(dma.resolve(piece.end() - 1, 1, Access.WRITE))
                        .isEqualTo(isWritable ? Outcome.OK : Outcome.REFUSED);
            } finally {
                dma.leave();
            }
        }
    }
}
