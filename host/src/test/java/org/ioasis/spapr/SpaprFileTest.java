// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spapr;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.spapr.StubProcess.AT;
import static org.ioasis.spapr.StubProcess.BYTES;
import static org.ioasis.spapr.StubProcess.PAGE;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.iommufd.IommufdNode;
import org.ioasis.spec.SpaprTce;
import org.ioasis.spec.VfioSpapr;
import org.ioasis.spec.VfioType1;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** Containers as a program uses them: bytes of ioctls, whatever they are. */
class SpaprFileTest {
    private static final long WINDOW = 1L << 30;

    /** Where the program has its structures: in the last page of its memory. */
    private static final long STRUCT = AT + BYTES - PAGE;

    private final IommufdNode node = IommufdNode.builder().build();
    private final SpaprHost host = new SpaprHost(node);
    private final StubProcess program = new StubProcess();
    private final SpaprGroup group = SpaprGroup.builder().build();
    private final SpaprFile file = host.open();

    @BeforeEach
    void addGroup() throws IommufdException {
        file.add(group, program.failures());
    }

    @AfterEach
    void nothingIsLeft() {
        file.release();
        file.release();
        assertThat(node.heldPages()).isZero();
        assertThat(node.tables().held()).isZero();
        assertThat(program.locked().locked()).isZero();
        assertThat(host.processes()).isZero();
        assertThat(group.container()).isNull();
    }

    private static long error(Errno errno) {
        return -errno.number();
    }

    /** A structure: its length, no flags, and zeros. */
    private MemorySegment struct(int length) {
        MemorySegment bytes = program.bytes().asSlice(STRUCT - AT, PAGE);
        bytes.fill((byte) 0);
        bytes.set(JAVA_INT, 0, length);
        return bytes;
    }

    private long call(int command) {
        return file.ioctl(program, command, STRUCT);
    }

    private long become(int kind) {
        return file.ioctl(program, VfioType1.SET_IOMMU, kind);
    }

    private long memory(int command, long address, long size) {
        MemorySegment struct = struct(24);
        struct.set(JAVA_LONG, 8, address);
        struct.set(JAVA_LONG, 16, size);
        return call(command);
    }

    private long map(int flags, long user, long iova, long size) {
        MemorySegment struct = struct(32);
        struct.set(JAVA_INT, 4, flags);
        struct.set(JAVA_LONG, 8, user);
        struct.set(JAVA_LONG, 16, iova);
        struct.set(JAVA_LONG, 24, size);
        return call(VfioType1.IOMMU_MAP_DMA);
    }

    private long unmap(int flags, long iova, long size) {
        MemorySegment struct = struct(24);
        struct.set(JAVA_INT, 4, flags);
        struct.set(JAVA_LONG, 8, iova);
        struct.set(JAVA_LONG, 16, size);
        return call(VfioType1.IOMMU_UNMAP_DMA);
    }

    private long create(int pageLg2, long size, int levels) {
        MemorySegment struct = struct(40);
        struct.set(JAVA_INT, 8, pageLg2);
        struct.set(JAVA_LONG, 16, size);
        struct.set(JAVA_INT, 24, levels);
        return call(VfioSpapr.TCE_CREATE);
    }

    private long remove(long start) {
        struct(16).set(JAVA_LONG, 8, start);
        return call(VfioSpapr.TCE_REMOVE);
    }

    private long field(int offset) {
        return program.bytes().get(JAVA_LONG, STRUCT - AT + offset);
    }

    private void second() {
        assertThat(become(VfioSpapr.TCE_V2_IOMMU)).isZero();
        assertThat(memory(VfioSpapr.REGISTER_MEMORY, AT, BYTES)).as(program.rule).isZero();
    }

    @Test
    void aContainerIsOfNoKindUntilItHasAGroupAndIsTold() throws IommufdException {
        assertThat(file.ioctl(program, VfioType1.GET_API_VERSION, 0)).isZero();
        assertThat(file.ioctl(program, VfioType1.CHECK_EXTENSION, 2)).isEqualTo(1);
        assertThat(file.ioctl(program, VfioType1.CHECK_EXTENSION, 7)).isEqualTo(1);
        for (long other : new long[] {0, 1, 3, 4, 5, 6, 8, 1L << 32 | 2, -1L}) {
            assertThat(file.ioctl(program, VfioType1.CHECK_EXTENSION, other)).isZero();
        }
        struct(32);
        assertThat(call(VfioSpapr.TCE_GET_INFO)).isEqualTo(error(Errno.EINVAL));
        assertThat(become(VfioType1.TYPE1V2_IOMMU)).isEqualTo(error(Errno.ENODEV));
        assertThat(become(VfioSpapr.TCE_V2_IOMMU)).isZero();
        assertThat(become(VfioSpapr.TCE_V2_IOMMU)).isEqualTo(error(Errno.EINVAL));
        file.remove(group);
        assertThat(file.container()).isNull();
        assertThat(become(VfioSpapr.TCE_V2_IOMMU)).isEqualTo(error(Errno.EINVAL));
        file.add(group, program.failures());
        file.add(SpaprGroup.builder().build(), program.failures());
        assertThat(become(VfioSpapr.TCE_IOMMU)).as("two groups").isEqualTo(error(Errno.EBUSY));
        assertThat(file.container()).isNull();
        assertThat(group.container()).isNull();
        assertThat(become(VfioSpapr.TCE_V2_IOMMU)).isZero();
    }

    @Test
    void eachKindHasItsOwnCallsAndNoOthers() {
        assertThat(become(VfioSpapr.TCE_IOMMU)).isZero();
        assertThat(memory(VfioSpapr.REGISTER_MEMORY, AT, PAGE)).isEqualTo(error(Errno.ENOTTY));
        assertThat(memory(VfioSpapr.UNREGISTER_MEMORY, AT, PAGE)).isEqualTo(error(Errno.ENOTTY));
        assertThat(create(12, WINDOW, 1)).isEqualTo(error(Errno.ENOTTY));
        assertThat(remove(0)).isEqualTo(error(Errno.ENOTTY));
        assertThat(call(VfioSpapr.ENABLE)).isZero();
        assertThat(call(VfioSpapr.ENABLE)).isEqualTo(error(Errno.EBUSY));
        assertThat(map(3, AT, 0, PAGE)).isZero();
        assertThat(group.lookUp(0, true)).isPositive();
        assertThat(call(VfioSpapr.DISABLE)).isZero();
        assertThat(map(3, AT, 0, PAGE)).isEqualTo(error(Errno.EPERM));
        assertThat(unmap(0, 0, PAGE)).isEqualTo(error(Errno.EPERM));
        file.release();
        assertThat(become(VfioSpapr.TCE_V2_IOMMU)).isEqualTo(error(Errno.EINVAL));
        assertThat(call(VfioSpapr.ENABLE)).isEqualTo(error(Errno.EINVAL));
    }

    @Test
    void theSecondKindHasNoEnablingAndUnknownCallsAreNone() {
        assertThat(become(VfioSpapr.TCE_V2_IOMMU)).isZero();
        assertThat(call(VfioSpapr.ENABLE)).isEqualTo(error(Errno.ENOTTY));
        assertThat(call(VfioSpapr.DISABLE)).isEqualTo(error(Errno.ENOTTY));
        assertThat(call(0x3b79)).isEqualTo(error(Errno.ENOTTY));
        assertThat(call(0x3b67)).isEqualTo(error(Errno.ENOTTY));
        assertThat(call(VfioSpapr.TCE_CREATE | 0x4000_0000)).isEqualTo(error(Errno.ENOTTY));
        assertThat(memory(VfioSpapr.UNREGISTER_MEMORY, AT, PAGE)).isEqualTo(error(Errno.EPERM));
    }

    @Test
    void informationIsAsLongAsThereIsRoomFor() {
        second();
        MemorySegment struct = struct(15);
        assertThat(call(VfioSpapr.TCE_GET_INFO)).isEqualTo(error(Errno.EINVAL));
        for (int room = 16; room <= 40; room += 4) {
            struct(room);
            struct.set(JAVA_INT, 4, -1);
            struct.asSlice(8, 40).fill((byte) 0x5a);
            assertThat(call(VfioSpapr.TCE_GET_INFO)).isZero();
            assertThat(struct.get(JAVA_INT, 0)).isEqualTo(room);
            assertThat(struct.get(JAVA_INT, 4)).isEqualTo(1);
            assertThat(struct.get(JAVA_INT, 8)).isZero();
            assertThat(struct.get(JAVA_INT, 12)).isEqualTo(1 << 30);
            boolean isWhole = room >= 32;
            assertThat(struct.get(JAVA_LONG, 16))
                    .isEqualTo(isWhole ? 0x0121_1000 : 0x5a5a_5a5a_5a5a_5a5aL);
            assertThat(struct.get(JAVA_INT, 24)).isEqualTo(isWhole ? 2 : 0x5a5a_5a5a);
            assertThat(struct.get(JAVA_INT, 28)).isEqualTo(isWhole ? 5 : 0x5a5a_5a5a);
            assertThat(struct.get(JAVA_INT, 32)).isEqualTo(0x5a5a_5a5a);
        }
    }

    @Test
    @Tag("S10")
    void mappingsComeByBytes() {
        assertThat(become(VfioSpapr.TCE_V2_IOMMU)).isZero();
        assertThat(map(3, AT, 0, PAGE)).isEqualTo(error(Errno.EPERM));
        assertThat(memory(VfioSpapr.REGISTER_MEMORY, AT, BYTES)).isZero();
        assertThat(memory(VfioSpapr.REGISTER_MEMORY, AT, BYTES)).isEqualTo(error(Errno.EBUSY));
        assertThat(map(1, AT, PAGE, 2 * PAGE)).isZero();
        assertThat(group.lookUp(2 * PAGE, false)).isPositive();
        assertThat(group.lookUp(2 * PAGE, true)).isEqualTo(HardwareTable.NOWHERE);
        assertThat(map(2, AT, PAGE, PAGE)).isZero();
        assertThat(group.lookUp(PAGE, false)).isEqualTo(HardwareTable.NOWHERE);
        assertThat(map(0, AT, PAGE, PAGE)).isEqualTo(error(Errno.EINVAL));
        assertThat(map(4, AT, PAGE, PAGE)).isEqualTo(error(Errno.EINVAL));
        assertThat(map(3, AT, WINDOW, PAGE)).isEqualTo(error(Errno.ENXIO));
        assertThat(program.rule).contains("0x40000000 is in no window");
        assertThat(unmap(1, PAGE, PAGE)).isEqualTo(error(Errno.EINVAL));
        assertThat(memory(VfioSpapr.UNREGISTER_MEMORY, AT, BYTES)).isEqualTo(error(Errno.EBUSY));
        assertThat(unmap(0, 0, WINDOW)).isZero();
        assertThat(memory(VfioSpapr.UNREGISTER_MEMORY, AT, BYTES)).isZero();
        assertThat(memory(VfioSpapr.UNREGISTER_MEMORY, AT, BYTES)).isEqualTo(error(Errno.ENOENT));
    }

    @Test
    void windowsComeByBytesAndAnAnswerThatCannotBeWrittenLeavesNone() {
        second();
        assertThat(create(16, 1L << 32, 2)).isZero();
        assertThat(field(VfioSpapr.CREATE_START_ADDR)).isEqualTo(SpaprTce.SECOND_WINDOW);
        assertThat(create(16, 1L << 32, 2)).isEqualTo(error(Errno.ENOSPC));
        assertThat(remove(SpaprTce.SECOND_WINDOW)).isZero();
        assertThat(remove(SpaprTce.SECOND_WINDOW)).isEqualTo(error(Errno.EINVAL));
        long locked = program.locked().locked();
        program.isDeaf = true;
        assertThat(create(16, 1L << 32, 2)).isEqualTo(error(Errno.EFAULT));
        program.isDeaf = false;
        assertThat(program.locked().locked()).isEqualTo(locked);
        assertThat(group.window(1)).isNull();
        assertThat(create(16, 1L << 32, 2)).isZero();
    }

    @Test
    void eachStructureIsReadAsFarAsItGoesAndItsLengthAndFlagsAreChecked() {
        second();
        int[][] calls = {
            {VfioType1.IOMMU_MAP_DMA, 32},
            {VfioType1.IOMMU_UNMAP_DMA, 24},
            {VfioSpapr.REGISTER_MEMORY, 24},
            {VfioSpapr.UNREGISTER_MEMORY, 24},
            {VfioSpapr.TCE_CREATE, 40},
            {VfioSpapr.TCE_REMOVE, 16},
        };
        for (int[] call : calls) {
            String name = "command 0x%x".formatted(call[0]);
            struct(call[1] - 1);
            assertThat(call(call[0])).as(name).isEqualTo(error(Errno.EINVAL));
            for (int flag : new int[] {4, 1 << 31}) {
                struct(call[1]).set(JAVA_INT, 4, flag);
                assertThat(call(call[0])).as(name).isEqualTo(error(Errno.EINVAL));
            }
            struct(-1);
            long whole = call(call[0]);
            assertThat(whole).as(name).isNotEqualTo(error(Errno.EFAULT));
            for (long at : new long[] {0, AT - 8, AT + BYTES - call[1] + 1, AT + BYTES, -8, -1L}) {
                assertThat(file.ioctl(program, call[0], at))
                        .as("%s at 0x%x", name, at)
                        .isEqualTo(error(Errno.EFAULT));
            }
        }
    }

    @Test
    void aContainerOfAnotherProcessIsRefusedBeforeItsBytesAreRead() {
        second();
        StubProcess stranger = new StubProcess();
        for (int command = VfioSpapr.TCE_GET_INFO; command <= VfioSpapr.TCE_REMOVE; command++) {
            assertThat(file.ioctl(stranger, command, 0)).isEqualTo(error(Errno.EPERM));
        }
        assertThat(stranger.reads).isZero();
    }

    /** One way through all calls; false as soon as one is refused. */
    private boolean runs(boolean isSecond) {
        try {
            file.add(group, program.failures());
        } catch (IommufdException e) {
            return false;
        }
        if (!isSecond) {
            return become(VfioSpapr.TCE_IOMMU) == 0
                    && call(VfioSpapr.ENABLE) == 0
                    && map(3, AT, 0, 4 * PAGE) == 0
                    && map(3, AT + PAGE, PAGE, 4 * PAGE) == 0
                    && unmap(0, 0, 8 * PAGE) == 0
                    && call(VfioSpapr.DISABLE) == 0;
        }
        return become(VfioSpapr.TCE_V2_IOMMU) == 0
                && memory(VfioSpapr.REGISTER_MEMORY, AT, BYTES) == 0
                && map(3, AT, 0, 4 * PAGE) == 0
                && map(3, AT + PAGE, PAGE, 4 * PAGE) == 0
                && create(16, 1L << 32, 2) == 0
                && map(3, AT, SpaprTce.SECOND_WINDOW, 1 << 16) == 0
                && unmap(0, 0, 8 * PAGE) == 0
                && remove(SpaprTce.SECOND_WINDOW) == 0
                && remove(0) == 0
                && memory(VfioSpapr.UNREGISTER_MEMORY, AT, BYTES) == 0;
    }

    private int failsAtEachPoint(boolean isSecond) {
        file.release();
        for (int n = 1; ; n++) {
            assertThat(n).isLessThan(1000);
            program.failures().arm(n);
            boolean isDone = runs(isSecond);
            boolean hasFailed = program.failures().remaining() == 0;
            program.failures().arm(0);
            file.release();
            assertThat(node.heldPages()).as("after failure %d", n).isZero();
            assertThat(node.tables().held()).as("after failure %d", n).isZero();
            assertThat(program.locked().locked()).as("after failure %d", n).isZero();
            assertThat(host.processes()).as("after failure %d", n).isZero();
            assertThat(isDone).as("done without failure %d", n).isEqualTo(!hasFailed);
            if (!hasFailed) {
                return n - 1;
            }
        }
    }

    @Test
    void afterAFailureAtAnyPointOfTheFirstKindNothingIsLeft() {
        assertThat(failsAtEachPoint(false)).isGreaterThan(20);
    }

    @Test
    void afterAFailureAtAnyPointOfTheSecondKindNothingIsLeft() {
        assertThat(failsAtEachPoint(true)).isGreaterThan(30);
    }

    /** Any bytes: each call ends, and what it changes goes with the file. */
    @Test
    void anyBytesAreAnsweredAndLeaveNothing() {
        long seed = System.nanoTime();
        System.out.println("containers of POWER, any bytes, seed " + seed);
        Random random = new Random(seed);
        second();
        long[] values = {
            0,
            1,
            12,
            16,
            PAGE,
            1 << 16,
            AT,
            AT + PAGE,
            BYTES,
            WINDOW,
            WINDOW - PAGE,
            SpaprTce.SECOND_WINDOW,
            1L << 63,
            -PAGE,
            -1L,
        };
        List<Long> answers = new ArrayList<>();
        for (int i = 0; i < 20_000; i++) {
            MemorySegment struct = struct(0);
            for (int at = 0; at < 48; at += 8) {
                struct.set(JAVA_LONG, at, values[random.nextInt(values.length)]);
            }
            struct.set(JAVA_INT, 0, random.nextInt(4) == 0 ? random.nextInt(48) : 48);
            struct.set(JAVA_INT, 4, random.nextInt(4) == 0 ? random.nextInt() : random.nextInt(4));
            if (random.nextInt(8) == 0) {
                struct.set(JAVA_BYTE, random.nextInt(48), (byte) random.nextInt());
            }
            long answer = call(VfioSpapr.TCE_GET_INFO + random.nextInt(10));
            assertThat(answer).as("seed %d", seed).isBetween(-200L, 0L);
            answers.add(answer);
        }
        assertThat(answers).contains(0L, error(Errno.EINVAL), error(Errno.ENXIO));
    }
}
