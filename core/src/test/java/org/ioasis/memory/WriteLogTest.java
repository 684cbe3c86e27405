// SPDX-License-Identifier: Apache-2.0
package org.ioasis.memory;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.fail;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.channels.FileChannel;
import java.nio.channels.FileChannel.MapMode;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import java.util.Random;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * What is told of written pages: all that was written and, where nothing is lost by it, no more.
 */
class WriteLogTest {
    private static final long PAGE = 4096;
    private static final long CHUNK = PAGE << 15;
    private static final long FOREVER = Long.MAX_VALUE / 2;

    private final Guards guards = new Guards(new HandClock(), lease -> {});
    private final GuestMemory memory = new GuestMemory(guards, 4096);
    private final DirectDma dma = new DirectDma(memory, guards.open());
    private final MemorySegment buffer = MemorySegment.ofArray(new byte[0x20000]);

    private void add(Region region) {
        assertThat(memory.add(region)).isEqualTo(GuestMemory.Change.DONE);
    }

    private WriteLog start(long pageSize) {
        WriteLog log = new WriteLog(memory, pageSize);
        List<String> told = new ArrayList<>();
        log.start(() -> told.add("started"));
        assertThat(told).hasSize(1);
        return log;
    }

    private void write(long gpa, int length) {
        dma.enter();
        assertThat(dma.write(gpa, buffer, 0, length)).isEqualTo(Outcome.OK);
        dma.leave();
    }

    /** The units of {@code first..last} that are told to be written, by number. */
    private static List<Integer> told(WriteLog log, long first, long last, long unit) {
        long[] bitmap = new long[(int) (Long.divideUnsigned(last - first, unit) / Long.SIZE) + 1];
        List<String> told = new ArrayList<>();
        log.report(first, last, unit, bitmap, () -> told.add("told"));
        assertThat(told).hasSize(1);
        return BitSet.valueOf(bitmap).stream().boxed().toList();
    }

    private static List<Integer> told(WriteLog log, long first, long pages) {
        return told(log, first, first + (pages * PAGE - 1), PAGE);
    }

    @Test
    void everyWayToWriteIsNotedOnThePagesThatItTouchesAndNoOtherAccess() {
        add(Ram.ram(0x10000, 0x8000));
        add(Ram.ram(0x18000, 0x8000));
        GuestWords words = new GuestWords(memory);
        write(0x10000, 0x8000);
        WriteLog log = start(PAGE);

        dma.enter();
        assertThat(dma.read(0x10000, buffer, 0, 0x10000)).isEqualTo(Outcome.OK);
        assertThat(dma.readWords(0x10000, new long[2], 0, 16)).isEqualTo(Outcome.OK);
        assertThat(words.load(0x10000)).isEqualTo(Outcome.OK);
        assertThat(dma.peek(0x10000, 8)).isEqualTo(Outcome.OK);
        assertThat(dma.write(0x20000, buffer, 0, 1)).isEqualTo(Outcome.ABSENT);
        dma.leave();
        assertThat(told(log, 0x10000, 16)).isEmpty();

        dma.enter();
        assertThat(dma.write(0x11fff, buffer, 0, 1)).isEqualTo(Outcome.OK);
        assertThat(dma.write(0x13fff, buffer, 0, 2)).isEqualTo(Outcome.OK);
        assertThat(dma.writeInt(0x16000, 7)).isEqualTo(Outcome.OK);
        dma.leave();
        assertThat(told(log, 0x10000, 16)).containsExactly(1, 3, 4, 6);

        dma.enter();
        assertThat(dma.write(0x17ffc, buffer, 0, 8)).as("two regions").isEqualTo(Outcome.OK);
        assertThat(dma.writeInt(0x19ffe, 7)).as("two pages").isEqualTo(Outcome.OK);
        assertThat(dma.writeWords(0x1bff8, new long[2], 0, 2)).isEqualTo(Outcome.OK);
        dma.leave();
        assertThat(told(log, 0x10000, 16)).containsExactly(7, 8, 9, 10, 11, 12);

        dma.enter();
        assertThat(dma.resolve(0x10000, 2, Access.WRITE)).isEqualTo(Outcome.OK);
        dma.storeShort(1, true);
        assertThat(dma.resolve(0x14000, 16, Access.WRITE)).isEqualTo(Outcome.OK);
        dma.storeLong(8, 1, true);
        assertThat(words.load(0x1f008)).isEqualTo(Outcome.OK);
        assertThat(words.exchange(0x1f008, words.word(), 5)).isEqualTo(Outcome.OK);
        dma.leave();
        assertThat(told(log, 0x10000, 16)).containsExactly(0, 4, 15);
    }

    @Test
    void pagesAreToldOnceAndEndWithTheLog() {
        add(Ram.ram(0, 0x10000));
        WriteLog log = start(PAGE);
        write(0x3000, 1);
        write(0x5000, 1);
        assertThat(told(log, 0x3000, 1)).as("nothing beside the range").containsExactly(0);
        assertThat(told(log, 0, 16)).containsExactly(5);
        assertThat(told(log, 0, 16)).isEmpty();
        write(0x5000, 1);
        assertThat(told(log, 0, 16)).containsExactly(5);

        assertThatThrownBy(() -> start(PAGE)).isInstanceOf(IllegalStateException.class);
        write(0x6000, 1);
        log.stop();
        log.stop();
        write(0x7000, 1);
        WriteLog next = start(PAGE);
        log.stop();
        assertThat(told(next, 0, 16)).isEmpty();
        write(0x8000, 1);
        assertThat(told(next, 0, 16)).containsExactly(8);
    }

    @Test
    void pageThatAQuestionIsAboutInPartIsToldAndStaysNoted() {
        add(Ram.ram(0, 0x10000));
        WriteLog log = start(0x4000);
        assertThat(log.pageSize()).isEqualTo(0x4000);
        write(0x4000, 1);
        write(0xc000, 1);
        assertThat(told(log, 0x5000, 0xc0ff, 0x100))
                .as("0x5000..0x7fff and 0xc000..0xc0ff")
                .hasSize(0x31)
                .contains(0, 0x2f, 0x70)
                .doesNotContain(0x30, 0x6f);
        assertThat(told(log, 0, 0xffff, PAGE)).containsExactly(4, 5, 6, 7, 12, 13, 14, 15);
        assertThat(told(log, 0, 0xffff, PAGE)).isEmpty();
        write(0x4000, 1);
        assertThat(told(log, 0, 0xffff, 1L << 63)).containsExactly(0);
    }

    @Test
    void sizeOfAPageIsWhatIsAskedForWithinBounds() {
        assertThat(new WriteLog(memory, 0).pageSize()).isEqualTo(PAGE);
        assertThat(new WriteLog(memory, 4095).pageSize()).isEqualTo(PAGE);
        assertThat(new WriteLog(memory, 8191).pageSize()).isEqualTo(PAGE);
        assertThat(new WriteLog(memory, 8192).pageSize()).isEqualTo(8192);
        assertThat(new WriteLog(memory, 1 << 21).pageSize()).isEqualTo(1 << 21);
        assertThat(new WriteLog(memory, 1L << 63).pageSize()).isEqualTo(1 << 21);
        assertThat(new WriteLog(memory, -1).pageSize()).isEqualTo(1 << 21);
    }

    @Test
    void memoryThatComesIsNotedAndOfMemoryThatHasGoneItIsTold() {
        add(Ram.ram(0, 0x10000));
        WriteLog log = start(PAGE);
        add(Ram.ram(3 * CHUNK, 0x1000));
        write(3 * CHUNK, 1);
        write(0x1000, 1);
        assertThat(memory.remove(0, -1, () -> {})).isEqualTo(GuestMemory.Change.DONE);
        assertThat(told(log, 0, 16)).containsExactly(1);
        add(Ram.ram(3 * CHUNK - 0x1000, 0x2000));
        write(3 * CHUNK - 0x1000, 1);
        assertThat(told(log, 3 * CHUNK - 0x2000, 3)).containsExactly(1, 2);
        assertThat(log.chunkCount()).isEqualTo(3);
    }

    @Test
    void memoryThatNobodyCanWriteNeedsNoRoom() {
        add(Ram.rom(0, 1L << 60));
        add(Ram.readOnly(1L << 60, 0x1000));
        WriteLog log = start(PAGE);
        assertThat(log.chunkCount()).isZero();
        assertThat(log.pageSize()).isEqualTo(PAGE);
        assertThat(told(log, 1L << 60, 1)).isEmpty();
    }

    @Test
    void memoryBeyondTheLimitCountsAsWrittenAndNoOther() {
        for (int i = 0; i < WriteLog.CHUNK_LIMIT - 1; i++) {
            add(Ram.ram(i * CHUNK, PAGE));
        }
        WriteLog log = start(PAGE);
        add(Ram.ram((WriteLog.CHUNK_LIMIT - 1) * CHUNK, PAGE));
        assertThat(log.chunkCount()).isEqualTo(WriteLog.CHUNK_LIMIT);
        assertThat(log.isOver()).isFalse();
        long last = WriteLog.CHUNK_LIMIT * CHUNK - 1;
        assertThat(told(log, 0, last + PAGE, CHUNK)).isEmpty();

        add(Ram.ram(last + 1, PAGE));
        assertThat(log.chunkCount()).isEqualTo(WriteLog.CHUNK_LIMIT);
        assertThat(log.isOver()).isTrue();
        for (int i = 0; i < 2; i++) {
            assertThat(told(log, last + 1, 1)).containsExactly(0);
            assertThat(told(log, 0, last + PAGE, CHUNK)).containsExactly(WriteLog.CHUNK_LIMIT);
        }
        write(7 * CHUNK, 1);
        assertThat(told(log, 0, last, CHUNK)).containsExactly(7);
    }

    @Test
    void memoryThatHasNoRoomEvenInTheLargestPagesCountsAsWrittenFromTheStart() {
        long large = CHUNK << 9;
        for (int i = 0; i <= WriteLog.CHUNK_LIMIT; i++) {
            add(Ram.ram(i * large, PAGE));
        }
        WriteLog log = start(PAGE);
        assertThat(log.pageSize()).isEqualTo(2 << 20);
        assertThat(log.chunkCount()).isEqualTo(WriteLog.CHUNK_LIMIT);
        assertThat(log.isOver()).isTrue();
        assertThat(told(log, 0, (WriteLog.CHUNK_LIMIT + 1) * large - 1, large))
                .containsExactly(WriteLog.CHUNK_LIMIT);
    }

    @Test
    void pagesAreLargerWhereTheMemoryThatIsThereWouldNotHaveRoom() {
        for (int i = 0; i < WriteLog.CHUNK_LIMIT; i++) {
            add(Ram.ram(i * CHUNK, PAGE));
        }
        assertThat(new WriteLog(memory, PAGE).pageSize()).isEqualTo(PAGE);
        add(Ram.ram(WriteLog.CHUNK_LIMIT * CHUNK, PAGE));
        WriteLog log = start(PAGE);
        assertThat(log.pageSize()).isEqualTo(2 * PAGE);
        assertThat(log.chunkCount()).isEqualTo(WriteLog.CHUNK_LIMIT / 2 + 1);
        assertThat(log.isOver()).isFalse();
    }

    @Test
    void chunksAreWrittenDownOnceForAllThatIsThereAndOnceForARegionThatComes(@TempDir Path folder)
            throws IOException {
        add(Ram.ram(9 * CHUNK, PAGE));
        add(Ram.ram(9 * CHUNK + PAGE, PAGE));
        for (int i = 0; i < 64; i++) {
            add(Ram.ram((20 + i) * CHUNK, PAGE));
        }
        WriteLog log = start(PAGE);
        assertThat(log.copyCount()).isOne();
        assertThat(log.chunkCount()).isEqualTo(65);

        add(Ram.ram(9 * CHUNK + 2 * PAGE, PAGE));
        assertThat(log.copyCount()).as("its chunk is there").isOne();
        write(9 * CHUNK + PAGE, 1);
        write(20 * CHUNK, 1);
        long first = 8 * CHUNK;
        add(Ram.ram(first, PAGE));
        add(sparse(folder, 9 * CHUNK + 4 * PAGE, 11 * CHUNK - 4 * PAGE));
        assertThat(log.copyCount()).as("eleven chunks, of which one was there").isEqualTo(3);
        assertThat(log.chunkCount()).isEqualTo(65 + 1 + 10);
        write(15 * CHUNK, 1);
        assertThat(told(log, first, first + 76 * CHUNK - 1, CHUNK)).containsExactly(1, 7, 12);
        assertThat(log.isOver()).isFalse();
    }

    /** Memory of which only what is written takes any. */
    private static Region sparse(Path folder, long gpa, long size) throws IOException {
        try (FileChannel file =
                FileChannel.open(
                        folder.resolve("ram"),
                        StandardOpenOption.CREATE_NEW,
                        StandardOpenOption.READ,
                        StandardOpenOption.WRITE)) {
            MemorySegment bytes = file.map(MapMode.READ_WRITE, 0, size, Arena.ofAuto());
            return new Region(gpa, gpa + (size - 1), bytes, true, Ram.lender(bytes));
        }
    }

    @Test
    void whatIsLentCountsAsWrittenUntilItIsGivenBackAndOnceAfter() {
        add(Ram.ram(0, 0x10000));
        Lease before = dma.pin(0x2800, 0x1000, Access.WRITE, FOREVER);
        WriteLog log = start(PAGE);
        Lease after = dma.pin(0x8000, 1, Access.WRITE, FOREVER);
        if (before == null || after == null) {
            fail("nothing is lent");
            return;
        }
        for (int i = 0; i < 3; i++) {
            assertThat(told(log, 0, 16)).containsExactly(2, 3, 8);
        }
        before.close();
        assertThat(told(log, 0, 16)).containsExactly(2, 3, 8);
        assertThat(told(log, 0, 16)).containsExactly(8);
        after.close();
        assertThat(told(log, 0, 16)).containsExactly(8);
        assertThat(told(log, 0, 16)).isEmpty();
    }

    /** Another thread's, which is in the middle of it. */
    @Test
    void nothingIsToldBeforeSectionsThatMayHaveNotedItHaveEnded() {
        add(Ram.ram(0, 0x10000));
        WriteLog log = start(PAGE);
        DirectDma other = new DirectDma(memory, guards.open());
        write(0x3000, 1);
        other.enter();
        assertThat(other.resolve(0x3000, 2, Access.WRITE)).isEqualTo(Outcome.OK);

        long[] bitmap = new long[1];
        List<String> told = new ArrayList<>();
        log.report(0, 0xffff, PAGE, bitmap, () -> told.add("told"));
        guards.poll();
        assertThat(told).isEmpty();
        other.storeShort(1, true);
        assertThat(other.write(0x4000, buffer, 0, 1)).isEqualTo(Outcome.OK);
        other.leave();
        guards.poll();
        assertThat(told).containsExactly("told");
        assertThat(bitmap).containsExactly(1 << 3);
        assertThat(told(log, 0, 16)).as("of after the question").containsExactly(4);
    }

    @Test
    void logHasNotStartedBeforeSectionsThatDoNotKnowOfItHaveEnded() {
        add(Ram.ram(0, 0x10000));
        DirectDma other = new DirectDma(memory, guards.open());
        other.enter();
        assertThat(other.write(0x3000, buffer, 0, 1)).isEqualTo(Outcome.OK);
        WriteLog log = new WriteLog(memory, PAGE);
        List<String> told = new ArrayList<>();
        log.start(() -> told.add("started"));
        guards.poll();
        assertThat(told).isEmpty();
        other.leave();
        guards.poll();
        assertThat(told).containsExactly("started");
        other.enter();
        assertThat(other.write(0x4000, buffer, 0, 1)).isEqualTo(Outcome.OK);
        other.leave();
        assertThat(told(log, 0, 16)).containsExactly(4);
    }

    /** Beside a set of pages: over chunks, borders of words, and up to the last address. */
    @Test
    void anyQuestionsAreAnsweredAsAPlainSetWould() {
        long seed = Long.getLong("ioasis.seed", System.nanoTime());
        Random random = new Random(seed);
        long[] firsts = {0, CHUNK - 0x10000, 5 * CHUNK, -0x20000};
        for (long first : firsts) {
            add(Ram.ram(first, 0x20000));
        }
        WriteLog log = start(PAGE << random.nextInt(4));
        long page = log.pageSize();
        TreeSet<Long> written = new TreeSet<>(Long::compareUnsigned);
        int bits = 0;
        for (int i = 0; i < 5000; i++) {
            long base = firsts[random.nextInt(firsts.length)];
            long first = base + random.nextInt(0x20000);
            long last = first + random.nextInt((int) (base + 0x1ffff - first) + 1);
            if (random.nextInt(3) != 0) {
                write(first, (int) (last - first) + 1);
                for (long at = first & -page; at != (last & -page); at += page) {
                    written.add(at);
                }
                written.add(last & -page);
                continue;
            }
            long unit = 1L << (8 + random.nextInt(8));
            BitSet expected = new BitSet();
            for (long at : List.copyOf(written)) {
                long end = at + (page - 1);
                if (Ranges.overlap(at, end, first, last)) {
                    expected.set(
                            (int) ((Ranges.max(at, first) - first) / unit),
                            (int) ((Ranges.min(end, last) - first) / unit) + 1);
                }
                if (Ranges.covers(first, last, at, end)) {
                    written.remove(at);
                }
            }
            assertThat(told(log, first, last, unit))
                    .as("0x%x..0x%x by 0x%x, seed %d", first, last, unit, seed)
                    .isEqualTo(expected.stream().boxed().toList());
            bits += expected.cardinality();
        }
        assertThat(bits).isGreaterThan(1000);
    }
}
