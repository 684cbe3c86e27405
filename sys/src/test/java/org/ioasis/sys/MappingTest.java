// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class MappingTest {
    private static final int MFD_HUGETLB = 4;
    private static final long PAGE = 65_536; // of any machine: a multiple of 4 KiB and 64 KiB

    @ParameterizedTest
    @CsvSource({
        "0, 0, EINVAL",
        "0, -1, EINVAL",
        "-65536, 65536, EINVAL",
        "1, 100, EINVAL",
        "512, 512, EINVAL",
        "9223372036854710272, 65536, EINVAL",
        "9223372036854775807, 1, EINVAL",
        "0, 131073, ENXIO",
        "65536, 65537, ENXIO",
        "131072, 1, ENXIO",
        "0, 9223372036854775807, ENXIO",
    })
    void rangeThatIsNotInTheFileIsRefused(long offset, long length, String errno) throws Exception {
        try (Fd fd = Memfd.create("refused", 2 * PAGE)) {
            assertThatThrownBy(() -> Mapping.map(fd, offset, length, true))
                    .isInstanceOf(ErrnoException.class)
                    .hasMessageStartingWith("mmap fd=" + fd.number() + " offset=0x")
                    .hasMessageEndingWith(" length=" + length + ": " + errno);
        }
        assertThat(mappingsOf("refused")).isZero();
    }

    @Test
    void whatCannotBeMappedIsRefused() throws Exception {
        try (EventFd event = EventFd.create();
                Fd fd = event.duplicate()) {
            assertThatThrownBy(() -> Mapping.map(fd, 0, 1, false))
                    .isInstanceOf(ErrnoException.class)
                    .hasMessageEndingWith(": ENXIO");
        }
    }

    @Test
    void pieceOfAHugePageIsRefusedBecauseItCouldNotBeUnmapped() throws Exception {
        try (Fd fd = Memfd.create("huge", 1L << 30, MFD_HUGETLB)) {
            assertThatThrownBy(() -> Mapping.map(fd, 0, PAGE, true))
                    .isInstanceOf(ErrnoException.class)
                    .hasMessageEndingWith(": EINVAL");
            assertThatThrownBy(() -> Mapping.map(fd, PAGE, 1L << 29, true))
                    .isInstanceOf(ErrnoException.class)
                    .hasMessageEndingWith(": EINVAL");
        }
    }

    @Test
    void twoMappingsOfOneMemoryShareTheirBytes() throws Exception {
        try (Fd fd = Memfd.create("shared", 2 * PAGE);
                Mapping all = Mapping.map(fd, 0, 2 * PAGE, true);
                Mapping second = Mapping.map(fd, PAGE, PAGE, true)) {
            all.segment().set(JAVA_LONG, PAGE + 8, 0x0123456789abcdefL);
            second.segment().set(JAVA_BYTE, PAGE - 1, (byte) 7);

            assertThat(second.segment().get(JAVA_LONG, 8)).isEqualTo(0x0123456789abcdefL);
            assertThat(all.segment().get(JAVA_BYTE, 2 * PAGE - 1)).isEqualTo((byte) 7);
        }
    }

    @Test
    void descriptorMayBeClosedAfterwards() throws Exception {
        Fd fd = Memfd.create("kept", PAGE);
        try (Mapping mapping = Mapping.map(fd, 0, PAGE, true)) {
            fd.close();

            mapping.segment().fill((byte) 3);

            assertThat(mapping.segment().get(JAVA_BYTE, PAGE - 1)).isEqualTo((byte) 3);
        }
    }

    @Test
    void segmentHasExactlyTheLengthThatWasAskedFor() throws Exception {
        try (Fd fd = Memfd.create("exact", PAGE);
                Mapping mapping = Mapping.map(fd, 0, 100, true)) {
            assertThat(mapping.segment().byteSize()).isEqualTo(100);
            assertThatThrownBy(() -> mapping.segment().get(JAVA_BYTE, 100))
                    .isInstanceOf(IndexOutOfBoundsException.class);
        }
    }

    @Test
    void readOnlyMappingCannotBeWritten() throws Exception {
        try (Fd fd = Memfd.create("read-only", PAGE);
                Mapping mapping = Mapping.map(fd, 0, PAGE, false);
                Arena lease = Arena.ofConfined()) {
            assertThat(mapping.segment().isReadOnly()).isTrue();
            assertThatThrownBy(() -> mapping.segment().set(JAVA_BYTE, 0, (byte) 1))
                    .isInstanceOf(IllegalArgumentException.class);
            assertThatThrownBy(() -> mapping.lend(0, 1, lease).set(JAVA_BYTE, 0, (byte) 1))
                    .isInstanceOf(IllegalArgumentException.class);
        }
    }

    @Test
    void fileOpenedForReadingCannotBeMappedWritable() throws Exception {
        Path file = Files.createTempFile("ioasis", "mapping");
        try {
            Files.write(file, new byte[100]);
            try (Fd fd = openReadOnly(file)) {
                assertThatThrownBy(() -> Mapping.map(fd, 0, 100, true))
                        .isInstanceOf(ErrnoException.class)
                        .hasMessageEndingWith(": EACCES");
                try (Mapping mapping = Mapping.map(fd, 0, 100, false)) {
                    assertThat(mapping.segment().get(JAVA_BYTE, 99)).isZero();
                }
            }
        } finally {
            Files.delete(file);
        }
    }

    @Test
    void closedMappingThrowsAndIsUnmapped() throws Exception {
        try (Fd fd = Memfd.create("closed-mapping", PAGE)) {
            Mapping mapping = Mapping.map(fd, 0, PAGE, true);
            assertThat(mappingsOf("closed-mapping")).isEqualTo(1);

            mapping.close();
            mapping.close();

            assertThat(mapping.isOpen()).isFalse();
            assertThat(mappingsOf("closed-mapping")).isZero();
            assertThatThrownBy(() -> mapping.segment().get(JAVA_BYTE, 0))
                    .isInstanceOf(IllegalStateException.class);
            try (Arena arena = Arena.ofConfined()) {
                assertThatThrownBy(() -> mapping.lend(0, 1, arena))
                        .isInstanceOf(IllegalStateException.class);
            }
        }
    }

    @Test
    void closingWhileAThreadReadsGivesItAnExceptionAndNoCrash() throws Exception {
        for (int round = 0; round < 20; round++) {
            try (Fd fd = Memfd.create("raced-mapping", PAGE)) {
                Mapping mapping = Mapping.map(fd, 0, PAGE, true);
                CountDownLatch started = new CountDownLatch(1);
                AtomicReference<@Nullable Throwable> end = new AtomicReference<>();
                Thread reader =
                        Thread.ofPlatform()
                                .start(() -> {
                                    try {
                                        readForever(mapping.segment(), started);
                                    } catch (IllegalStateException e) {
                                        end.set(e);
                                    }
                                });
                started.await();

                mapping.close();

                reader.join();
                assertThat(end.get()).hasMessage("Already closed");
            }
        }
    }

    @Test
    void closingWhileACallUsesTheSegmentIsRefusedAndWorksLater() throws Exception {
        try (Fd fd = Memfd.create("in-use", PAGE);
                Arena arena = Arena.ofConfined()) {
            Mapping mapping = Mapping.map(fd, 0, PAGE, true);
            InCall inCall = new InCall(mapping);

            sortByUpcall(mapping.segment(), inCall, arena);

            assertThat(inCall.refusal).isInstanceOf(IllegalStateException.class);
            assertThat(mapping.isOpen()).isTrue();
            assertThat(mappingsOf("in-use")).isEqualTo(1);
            mapping.close();
            assertThat(mappingsOf("in-use")).isZero();
        }
    }

    @Test
    void lentPartOutsideIsRefused() throws Exception {
        try (Fd fd = Memfd.create("outside", PAGE);
                Mapping mapping = Mapping.map(fd, 0, PAGE, true);
                Arena arena = Arena.ofConfined()) {
            assertThatThrownBy(() -> mapping.lend(PAGE - 1, 2, arena))
                    .isInstanceOf(IndexOutOfBoundsException.class);
            assertThatThrownBy(() -> mapping.lend(-1, 1, arena))
                    .isInstanceOf(IndexOutOfBoundsException.class);
            assertThatThrownBy(() -> mapping.lend(1, Long.MAX_VALUE, arena))
                    .isInstanceOf(IndexOutOfBoundsException.class);
        }
    }

    @Test
    void closingTheArenaTakesBackWhatWasLent() throws Exception {
        try (Fd fd = Memfd.create("lent", PAGE);
                Mapping mapping = Mapping.map(fd, 0, PAGE, true)) {
            Arena arena = Arena.ofShared();
            MemorySegment lent = mapping.lend(4096, 8, arena);
            lent.set(JAVA_LONG, 0, 42);
            assertThat(lent.byteSize()).isEqualTo(8);

            arena.close();

            assertThatThrownBy(() -> lent.get(JAVA_LONG, 0))
                    .isInstanceOf(IllegalStateException.class);
            assertThat(mapping.segment().get(JAVA_LONG, 4096)).isEqualTo(42);
            assertThat(mappingsOf("lent")).isEqualTo(1);
        }
        assertThat(mappingsOf("lent")).isZero();
    }

    @Test
    void lentPartStaysMappedWhenTheMappingIsClosedFirst() throws Exception {
        try (Fd fd = Memfd.create("outlived", PAGE)) {
            Mapping mapping = Mapping.map(fd, 0, PAGE, true);
            Arena first = Arena.ofShared();
            Arena second = Arena.ofConfined();
            MemorySegment lent = mapping.lend(0, 8, first);
            MemorySegment other = mapping.lend(8, 8, second);
            other.set(JAVA_LONG, 0, 43);

            mapping.close();
            first.close();

            assertThat(mappingsOf("outlived")).isEqualTo(1);
            assertThat(other.get(JAVA_LONG, 0)).isEqualTo(43);
            assertThatThrownBy(() -> lent.get(JAVA_LONG, 0))
                    .isInstanceOf(IllegalStateException.class);

            second.close();

            assertThat(mappingsOf("outlived")).isZero();
        }
    }

    @Test
    void lendingToAClosedArenaIsRefusedAndDoesNotHoldTheMapping() throws Exception {
        try (Fd fd = Memfd.create("closed-arena", PAGE)) {
            Mapping mapping = Mapping.map(fd, 0, PAGE, true);
            Arena arena = Arena.ofShared();
            arena.close();

            assertThatThrownBy(() -> mapping.lend(0, 8, arena))
                    .isInstanceOf(IllegalStateException.class);
            mapping.close();

            assertThat(mappingsOf("closed-arena")).isZero();
        }
    }

    @Test
    void memoryThatIsCutShortUnderUsGivesInternalErrorAndNoCrash() throws Exception {
        try (Fd fd = Memfd.create("cut", PAGE);
                Mapping mapping = Mapping.map(fd, 0, PAGE, true)) {
            mapping.segment().fill((byte) 1);

            Memfd.resize(fd, 0);

            assertThatThrownBy(() -> readAll(mapping.segment())).isInstanceOf(InternalError.class);
            assertThatThrownBy(() -> mapping.segment().fill((byte) 2))
                    .isInstanceOf(InternalError.class);
            Memfd.resize(fd, PAGE);
            assertThat(readAll(mapping.segment())).isZero();
        }
        assertThat(mappingsOf("cut")).isZero();
    }

    /** Something that looks at its memory; who called it must not have its error. */
    private static final class Looker {
        private final MemorySegment memory;
        private long sum;
        private int errors;

        Looker(MemorySegment memory) {
            this.memory = memory;
        }

        void look() {
            try {
                sum += memory.get(JAVA_BYTE, 0);
                Mapping.raiseLate();
            } catch (InternalError e) {
                errors++;
            }
        }
    }

    private static void look(Looker[] all) {
        for (Looker one : all) {
            one.look();
        }
    }

    @Test
    void errorOfMemoryThatIsGoneIsRaisedWhereItBelongs() throws Exception {
        try (Fd fd = Memfd.create("cut", PAGE);
                Mapping mapping = Mapping.map(fd, 0, PAGE, true)) {
            Looker one = new Looker(mapping.segment());
            Looker other = new Looker(Arena.ofAuto().allocate(PAGE));
            Looker[] all = {one, other};
            mapping.segment().fill((byte) 1);
            // Until it is compiled, and inlined: then the JVM looks far outside whether to raise
            // it.
            for (int i = 0; i < 50_000; i++) {
                look(all);
            }
            assertThat(one.sum).isEqualTo(50_000);

            for (int i = 1; i <= 20; i++) {
                Memfd.resize(fd, 0);
                look(all);
                assertThat(one.errors).isEqualTo(i);
                Memfd.resize(fd, PAGE);
                look(all);
            }
            assertThat(other.errors).isZero();
        }
    }

    private static long readAll(MemorySegment segment) {
        long sum = 0;
        for (long i = 0; i < segment.byteSize(); i++) {
            sum += segment.get(JAVA_BYTE, i);
        }
        return sum;
    }

    /** Ends when the segment is taken away. */
    private static void readForever(MemorySegment segment, CountDownLatch started) {
        while (readAll(segment) == 0) {
            started.countDown();
        }
    }

    /** How often this process maps the memfd of that name. */
    private static long mappingsOf(String name) throws IOException {
        return Files.readAllLines(Path.of("/proc/self/maps")).stream()
                .filter(line -> line.contains("/memfd:" + name + " "))
                .count();
    }

    private static Fd openReadOnly(Path file) throws Exception {
        MethodHandle open =
                Linux.linkVariadic("open", 2, FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_INT));
        try (Arena arena = Arena.ofConfined()) {
            return Fd.own(
                    (int)
                            open.invokeExact(
                                    arena.allocate(Linux.ERRNO),
                                    arena.allocateFrom(file.toString()),
                                    0x80000)); // O_RDONLY | O_CLOEXEC
        } catch (Throwable e) {
            throw Linux.rethrow(e);
        }
    }

    /** qsort(3) of two bytes: while it asks which is less, the segment is inside a call. */
    @SuppressWarnings("restricted") // this package may; the comparator is called with two addresses
    private static void sortByUpcall(MemorySegment segment, InCall inCall, Arena arena)
            throws Exception {
        MethodHandle qsort =
                Linux.linkWithoutErrno(
                        "qsort", FunctionDescriptor.ofVoid(ADDRESS, JAVA_LONG, JAVA_LONG, ADDRESS));
        MethodHandle compare =
                MethodHandles.lookup()
                        .findVirtual(
                                InCall.class,
                                "compare",
                                MethodType.methodType(
                                        int.class, MemorySegment.class, MemorySegment.class))
                        .bindTo(inCall);
        MemorySegment stub =
                Linker.nativeLinker()
                        .upcallStub(
                                compare, FunctionDescriptor.of(JAVA_INT, ADDRESS, ADDRESS), arena);
        try {
            qsort.invokeExact(segment, 2L, 1L, stub);
        } catch (Throwable e) {
            throw Linux.rethrow(e);
        }
    }

    /** Tries to close the mapping from inside a call that uses it. */
    private static final class InCall {
        private final Mapping mapping;
        @Nullable Throwable refusal;

        InCall(Mapping mapping) {
            this.mapping = mapping;
        }

        @SuppressWarnings({"unused", "UnusedMethod"}) // called from native code
        int compare(MemorySegment left, MemorySegment right) {
            try {
                mapping.close();
            } catch (IllegalStateException e) {
                refusal = e;
            }
            return 0;
        }
    }
}
