// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;
import static org.assertj.core.api.Assertions.assertThat;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.concurrent.atomic.AtomicLong;
import org.ioasis.host.Allocation;
import org.ioasis.spec.Iommufd;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

/**
 * What a call allocates: nothing by itself, and for a mapping no more than its objects. The least
 * of many rounds, since code that is not compiled yet allocates.
 */
class IoctlAllocationTest {
    private static final int ROUNDS = 60;
    private static final int CALLS = 400;

    /** Bytes of a page's mapping in a space without page tables: what is kept, and little more. */
    private static final int MAPPING_MOST = 640;

    /** A caller whose memory is one piece and is copied without an object. */
    private static final class FlatCaller extends BareCaller implements ProgramMemory {
        private final MemorySegment bytes = Arena.ofAuto().allocate(4096, 8);
        private final LockedMemory locked = new LockedMemory(new AtomicLong(), -1);

        @Override
        public ProgramMemory memory() {
            return this;
        }

        @Override
        public int read(long address, MemorySegment to, long offset, long length) {
            MemorySegment.copy(bytes, address, to, offset, length);
            return 0;
        }

        @Override
        public int write(long address, MemorySegment from, long offset, long length) {
            MemorySegment.copy(from, offset, bytes, address, length);
            return 0;
        }

        @Override
        public boolean isGone() {
            return false;
        }

        @Override
        public LockedMemory locked() {
            return locked;
        }

        @Override
        public @Nullable PageRun pages(long address, long length, boolean isWrite) {
            return null;
        }
    }

    private final FlatCaller caller = new FlatCaller();
    private final IommufdContext context = IommufdNode.builder().build().openContext();

    private long call(int number) {
        return context.ioctl(caller, ';' << 8 | number, 0);
    }

    @Test
    void aCallThatMakesNoObjectAllocatesNothing() {
        MemorySegment bytes = caller.bytes;
        assertThat(
                        Allocation.leastOf(
                                ROUNDS,
                                () -> {
                                    for (int i = 0; i < CALLS; i++) {
                                        bytes.set(JAVA_INT, 0, Iommufd.OPTION_SIZE);
                                        bytes.set(
                                                JAVA_INT,
                                                Iommufd.OPTION_ID,
                                                Iommufd.OPTION_RLIMIT_MODE);
                                        bytes.set(
                                                JAVA_SHORT,
                                                Iommufd.OPTION_OP,
                                                (short) Iommufd.OPTION_OP_GET);
                                        bytes.set(JAVA_INT, Iommufd.OPTION_OBJECT_ID, 0);
                                        bytes.set(JAVA_LONG, Iommufd.OPTION_VAL64, 7);
                                        if (call(Iommufd.CMD_OPTION) != 0
                                                || bytes.get(JAVA_LONG, Iommufd.OPTION_VAL64)
                                                        != 0) {
                                            throw new IllegalStateException("not answered");
                                        }
                                    }
                                }))
                .as("bytes of %d calls", CALLS)
                .isLessThan(CALLS);
    }

    @Test
    void aMappingCostsItsObjectsAndNothingGrows() throws IommufdException {
        Ioas ioas = context.allocateIoas();
        MemorySegment bytes = caller.bytes;
        long least =
                Allocation.leastOf(
                        ROUNDS,
                        () -> {
                            for (int i = 0; i < CALLS; i++) {
                                bytes.set(JAVA_INT, 0, Iommufd.MAP_SIZE);
                                bytes.set(
                                        JAVA_INT,
                                        Iommufd.MAP_FLAGS,
                                        Iommufd.MAP_FIXED_IOVA | Iommufd.MAP_READABLE);
                                bytes.set(JAVA_INT, Iommufd.MAP_IOAS_ID, ioas.id());
                                bytes.set(JAVA_INT, Iommufd.MAP_RESERVED, 0);
                                bytes.set(JAVA_LONG, Iommufd.MAP_USER_VA, 1L << 20);
                                bytes.set(JAVA_LONG, Iommufd.MAP_LENGTH, 4096);
                                bytes.set(JAVA_LONG, Iommufd.MAP_IOVA, 4096L * i);
                                long result = call(Iommufd.CMD_IOAS_MAP);
                                bytes.set(JAVA_INT, 0, Iommufd.UNMAP_SIZE);
                                bytes.set(JAVA_INT, Iommufd.UNMAP_IOAS_ID, ioas.id());
                                bytes.set(JAVA_LONG, Iommufd.UNMAP_IOVA, 4096L * i);
                                bytes.set(JAVA_LONG, Iommufd.UNMAP_LENGTH, 4096);
                                if (result != 0 || call(Iommufd.CMD_IOAS_UNMAP) != 0) {
                                    throw new IllegalStateException("refused");
                                }
                            }
                        });
        assertThat(least / CALLS).as("bytes of a map and an unmap").isLessThan(MAPPING_MOST);
        assertThat(ioas.mappings()).isZero();
    }
}
