// SPDX-License-Identifier: Apache-2.0
package org.ioasis.program;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

/** What is read of a process's memory map for one call, and for the next. */
class MappedRangesTest {
    private static final int PROCESS = 12;
    private static final long PAGE = 4096;

    private static final int PIECES = 1000;

    private String text = "";
    private int opened;
    private int closed;
    private int lines;

    private final MappedRanges ranges = new MappedRanges(_ -> new Counted());

    private final class Counted extends ProcessLines {
        Counted() {
            super(new ByteArrayInputStream(text.getBytes(ISO_8859_1)));
            opened++;
        }

        @Override
        @Nullable String next() throws IOException {
            String line = super.next();
            lines += line == null ? 0 : 1;
            return line;
        }

        @Override
        public void close() throws IOException {
            closed++;
            super.close();
        }
    }

    /** A page each, with a hole of a page behind it. */
    private static String pieces(int count) {
        StringBuilder all = new StringBuilder();
        for (long i = 1; i <= count; i++) {
            all.append(
                    "%x-%x rw-p 00000000 00:00 0 %n".formatted(2 * i * PAGE, (2 * i + 1) * PAGE));
        }
        return all.toString();
    }

    private long firstAt(long address) {
        MappedRange found = ranges.at(PROCESS, address);
        return found == null ? -1 : found.first();
    }

    @Test
    void aCallReadsEachLineOnceInWhateverOrderItNamesItsMemory() {
        text = pieces(PIECES);
        ranges.open();

        assertThat(firstAt(2 * PAGE)).isEqualTo(2 * PAGE);
        assertThat(lines).as("no further than it asks").isEqualTo(1);
        for (long i = 1; i <= PIECES; i++) {
            long up = 2 * i * PAGE;
            long down = 2 * (PIECES + 1 - i) * PAGE;
            assertThat(firstAt(up + 1)).isEqualTo(up);
            assertThat(firstAt(down + PAGE - 1)).isEqualTo(down);
            assertThat(firstAt(down + PAGE)).as("hole").isEqualTo(-1);
        }
        assertThat(firstAt(-1L)).as("behind all").isEqualTo(-1);
        assertThat(firstAt(0)).as("before all").isEqualTo(-1);
        ranges.close();

        assertThat(lines).isEqualTo(PIECES);
        assertThat(opened).isEqualTo(1);
        assertThat(closed).isEqualTo(1);
    }

    @Test
    void whatTheProgramChangesBetweenTwoCallsIsSeenByTheSecond() {
        text = pieces(1);
        ranges.open();
        assertThat(firstAt(2 * PAGE)).isEqualTo(2 * PAGE);
        ranges.close();
        text = "";

        ranges.open();
        assertThat(firstAt(2 * PAGE)).isEqualTo(-1);
        ranges.close();
        text = pieces(2);
        assertThat(firstAt(4 * PAGE)).as("outside a call").isEqualTo(4 * PAGE);
        text = "";
        assertThat(firstAt(4 * PAGE)).as("at this moment").isEqualTo(-1);

        assertThat(opened).isEqualTo(4);
        assertThat(closed).isEqualTo(4);
    }

    private static String shared(long first, long pages, long page, int inode) {
        return "%x-%x rw-s %08x 00:01 %d /dev/zero (deleted)%n"
                .formatted(first * PAGE, (first + pages) * PAGE, page * PAGE, inode);
    }

    private long holding(int inode, long page, long pages) {
        MappedRange found =
                ranges.holding(
                        PROCESS,
                        new MappedRange.FileKey("00:01", inode),
                        page * PAGE,
                        pages * PAGE);
        return found == null ? -1 : found.first() / PAGE;
    }

    @Test
    void piecesOfAFileThatIsCutAreFoundInATextThatIsReadOnceForACall() {
        StringBuilder all = new StringBuilder();
        for (long i = 1; i <= PIECES; i++) {
            all.append(shared(2 * i, 1, PIECES - i, 7));
        }
        text = all.toString();
        ranges.open();
        for (long page = 0; page < PIECES; page++) {
            assertThat(holding(7, page, 1)).isEqualTo(2 * (PIECES - page));
            assertThat(holding(7, page, 2)).as("in two pieces").isEqualTo(-1);
            assertThat(holding(8, page, 1)).as("another file").isEqualTo(-1);
        }
        assertThat(firstAt(2 * PAGE)).isEqualTo(2 * PAGE);
        ranges.close();

        assertThat(lines).isEqualTo(PIECES);
        assertThat(opened).isEqualTo(1);
        assertThat(closed).isEqualTo(1);
    }

    @Test
    void aPieceIsFoundInWhicheverMappingOfTheFileHasAllOfIt() {
        text =
                shared(100, 8, 0, 7)
                        + shared(200, 2, 1, 7)
                        + shared(300, 4, 2, 7)
                        + pieces(1)
                        + shared(400, 6, 4, 7);
        ranges.open();
        assertThat(holding(7, 2, 6)).isEqualTo(100);
        assertThat(holding(7, 1, 1)).isEqualTo(100);
        assertThat(holding(7, 7, 3)).isEqualTo(400);
        assertThat(holding(7, 3, 7)).isEqualTo(-1);
        assertThat(holding(7, 10, 1)).isEqualTo(-1);
        assertThat(holding(0, 0, 1)).as("no file").isEqualTo(-1);
        ranges.close();
    }

    /** The kernel writes a name as it was chosen, but for line feeds. */
    @Test
    void aFileWhoseNameIsALineIsOneRangeAndNoOther() {
        String line = "%x-%x rw-s 00000000 00:01 8 /dev/zero".formatted(300 * PAGE, 301 * PAGE);
        text =
                "%x-%x rw-s 00000000 00:01 7 /memfd:\r%s (deleted)%n"
                                .formatted(100 * PAGE, 101 * PAGE, line)
                        + pieces(1).replace("2000", "200000").replace("3000", "201000");
        ranges.open();
        assertThat(firstAt(0x200000)).as("behind it").isEqualTo(0x200000);
        assertThat(firstAt(300 * PAGE)).isEqualTo(-1);
        assertThat(holding(7, 0, 1)).isEqualTo(100);
        assertThat(holding(8, 0, 1)).isEqualTo(-1);
        ranges.close();
        assertThat(lines).isEqualTo(2);
    }
}
