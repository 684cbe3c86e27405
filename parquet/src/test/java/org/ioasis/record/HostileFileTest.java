// SPDX-License-Identifier: Apache-2.0
package org.ioasis.record;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.nio.charset.StandardCharsets.US_ASCII;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Files that are no recording, or are none any more: an error that says so, and nothing worse. */
final class HostileFileTest {
    private static final int ROWS = 500;
    private static final int FLIPS = 1500;

    @TempDir private Path folder;

    private Path file;
    private byte[] bytes;

    @BeforeEach
    void write() throws IOException {
        file = folder.resolve("r.parquet");
        try (FileChannel channel =
                        FileChannel.open(
                                file, StandardOpenOption.CREATE, StandardOpenOption.WRITE);
                RowFiles.Writer writer = RowFiles.found().create(channel)) {
            Random random = new Random(1);
            Row row = new Row();
            for (int i = 0; i < ROWS; i++) {
                row.begin(i, i * 1000L, i % 3 == 0 ? Event.MAP : Event.ACCESS, "m/i");
                row.domain(1);
                if (row.event() == Event.ACCESS) {
                    row.endpoint(8);
                } else {
                    row.status("OK");
                }
                long first = random.nextLong() >>> 1;
                row.range(first, first + 0xfff);
                row.output(random.nextInt(1 << 20));
                row.flags(1);
                writer.add(row);
                if (i == ROWS / 2) {
                    assertThat(writer.flush(Map.of(), Long.MAX_VALUE)).isTrue();
                }
            }
            assertThat(writer.flush(Map.of("ioasis.schema", "1"), Long.MAX_VALUE)).isTrue();
        }
        bytes = Files.readAllBytes(file);
        assertThat(Recorded.rows(file)).hasSize(ROWS);
    }

    private void refused(byte[] content, String why) throws IOException {
        Files.write(file, content);
        assertThatThrownBy(() -> Recorded.rows(file))
                .isInstanceOf(IOException.class)
                .hasMessageContaining(why);
    }

    @Test
    void whatIsNoRecordingIsSaidToBeNone() throws IOException {
        refused(new byte[0], "is no Parquet file");
        refused("PAR1 and so on, but no end".getBytes(US_ASCII), "has no end");
        refused(new byte[1 << 16], "is no Parquet file");
        refused(
                "PAR1\u00ff\u00ff\u00ff\u007fPAR1".getBytes(ISO_8859_1),
                "its end has 2147483647 bytes");
        assertThatThrownBy(() -> Recorded.rows(folder))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("is no regular file");
        assertThatThrownBy(() -> Recorded.rows(folder.resolve("none")))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("does not exist");
        assertThatThrownBy(() -> Recorded.rows(Path.of("/dev/zero")))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("is no regular file");
    }

    @Test
    void aFileThatWasCutAnywhereIsRefused() throws IOException {
        int tried = 0;
        for (int length = 0; length < bytes.length; length += 7) {
            Files.write(file, Arrays.copyOf(bytes, length));
            assertThatThrownBy(() -> Recorded.rows(file)).isInstanceOf(IOException.class);
            tried++;
        }
        assertThat(tried).isGreaterThan(100);
    }

    @Test
    void bytesThatWereChangedAreReadOrRefusedAndNothingElse() throws IOException {
        Random random = new Random(2);
        int refused = 0;
        for (int i = 0; i < FLIPS; i++) {
            byte[] other = bytes.clone();
            for (int n = random.nextInt(1, 4); n > 0; n--) {
                // Every second one where the file says what is in it.
                int from = random.nextBoolean() ? other.length - 3000 : 0;
                other[random.nextInt(from, other.length)] = (byte) random.nextInt();
            }
            Files.write(file, other);
            try {
                assertThat(Recorded.rows(file)).hasSizeLessThanOrEqualTo(ROWS);
            } catch (IOException e) {
                refused++;
            }
        }
        assertThat(refused).isBetween(FLIPS / 10, FLIPS);
    }

    @Test
    void moreDifferentWordsThanARecordingHasAreRefused() throws IOException {
        Path other = folder.resolve("words.parquet");
        try (FileChannel channel =
                        FileChannel.open(
                                other, StandardOpenOption.CREATE, StandardOpenOption.WRITE);
                RowFiles.Writer writer = RowFiles.found().create(channel)) {
            Row row = new Row();
            for (int i = 0; i < 5000; i++) {
                row.begin(i, 0, Event.RESET, "iommu" + i);
                writer.add(row);
            }
            assertThat(writer.flush(Map.of("ioasis.schema", "1"), Long.MAX_VALUE)).isTrue();
        }
        assertThatThrownBy(() -> Recorded.rows(other))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("more than 4096 different words");
    }

    private Path named(String iommu) throws IOException {
        Path other = folder.resolve("word.parquet");
        try (FileChannel channel =
                        FileChannel.open(
                                other,
                                StandardOpenOption.CREATE,
                                StandardOpenOption.TRUNCATE_EXISTING,
                                StandardOpenOption.WRITE);
                RowFiles.Writer writer = RowFiles.found().create(channel)) {
            Row row = new Row();
            row.begin(0, 0, Event.RESET, iommu);
            writer.add(row);
            assertThat(writer.flush(Map.of("ioasis.schema", "1"), Long.MAX_VALUE)).isTrue();
        }
        return other;
    }

    @Test
    void aWordIsAsLongAsItMayBeAndNoLonger() throws IOException {
        assertThat(Recorded.rows(named("w".repeat(512)))).hasSize(1);
        assertThatThrownBy(() -> Recorded.rows(named("w".repeat(513))))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("a word of 513 bytes, more than 512");
    }

    @Test
    void aWordThatATerminalWouldObeyIsRefused() {
        assertThatThrownBy(() -> Recorded.rows(named("\u001b[2J")))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("control characters");
    }

    @Test
    void anEndOfFieldsInFieldsIsRefused() throws IOException {
        ByteBuffer deep = ByteBuffer.allocate(1 << 20).order(ByteOrder.LITTLE_ENDIAN);
        deep.put("PAR1".getBytes(US_ASCII));
        while (deep.remaining() > 8) {
            // A field that nobody knows, which is a struct (Thrift's compact protocol: type 12).
            deep.put((byte) 0x1c);
        }
        deep.putInt(deep.position() - 4).put("PAR1".getBytes(US_ASCII));
        refused(deep.array(), "has an end that cannot be read");
    }

    @Test
    void aFileIsWholeAfterEachPart() throws IOException {
        Path other = folder.resolve("parts.parquet");
        try (FileChannel channel =
                        FileChannel.open(
                                other, StandardOpenOption.CREATE, StandardOpenOption.WRITE);
                RowFiles.Writer writer = RowFiles.found().create(channel)) {
            Row row = new Row();
            for (int part = 1; part <= 5; part++) {
                for (int i = 0; i < 10; i++) {
                    row.begin(10L * (part - 1) + i, 0, Event.RESET, "m/i");
                    writer.add(row);
                }
                assertThat(writer.flush(Map.of("ioasis.schema", "1"), Long.MAX_VALUE)).isTrue();
                assertThat(Recorded.rows(other)).hasSize(10 * part);
                assertThat(writer.parts()).isEqualTo(part);
                assertThat(writer.bytes()).isEqualTo(Files.size(other));
            }
        }
    }

    /** What leaves room for a few parts in an end that a reader takes. */
    private static Map<String, String> longWords(int less) {
        return Map.of("ioasis.schema", "1", "words", "w".repeat((1 << 22) - less));
    }

    @Test
    void aFileGetsNoMorePartsThanAReaderTakes() throws IOException {
        Path other = folder.resolve("parts.parquet");
        Map<String, String> about = longWords(1 << 14);
        int written = 0;
        try (FileChannel channel =
                        FileChannel.open(
                                other, StandardOpenOption.CREATE, StandardOpenOption.WRITE);
                RowFiles.Writer writer = RowFiles.found().create(channel)) {
            Row row = new Row();
            while (!writer.isFull()) {
                row.begin(written++, 0, Event.RESET, "m/i");
                writer.add(row);
                assertThat(writer.flush(about, Long.MAX_VALUE)).isTrue();
                assertThat(written).isLessThan(100);
            }
            // The part that ends it has room in any case.
            assertThat(Recorded.rows(other)).hasSize(written);
            row.begin(written++, 0, Event.LOST, "m/i");
            writer.add(row);
            assertThat(writer.flush(about, Long.MAX_VALUE)).isTrue();
        }
        assertThat(written).isGreaterThan(5);
        assertThat(Recorded.rows(other)).hasSize(written);
    }

    @Test
    void anEndThatNoReaderTakesIsNotWritten() throws IOException {
        Path other = folder.resolve("words.parquet");
        try (FileChannel channel =
                        FileChannel.open(
                                other, StandardOpenOption.CREATE, StandardOpenOption.WRITE);
                RowFiles.Writer writer = RowFiles.found().create(channel)) {
            Row row = new Row();
            row.begin(0, 0, Event.RESET, "m/i");
            writer.add(row);
            assertThat(writer.flush(Map.of("ioasis.schema", "1"), Long.MAX_VALUE)).isTrue();
            row.begin(1, 0, Event.RESET, "m/i");
            writer.add(row);
            assertThatThrownBy(() -> writer.flush(longWords(0), Long.MAX_VALUE))
                    .isInstanceOf(IOException.class)
                    .hasMessageContaining("more than a reader takes");
        }
        assertThat(Recorded.rows(other)).hasSize(1);
    }

    @Test
    void aPartThatFindsNoRoomLeavesTheFileAsItWas() throws IOException {
        Path other = folder.resolve("full.parquet");
        try (FileChannel real =
                        FileChannel.open(
                                other, StandardOpenOption.CREATE, StandardOpenOption.WRITE);
                SmallDisk channel = new SmallDisk(real);
                RowFiles.Writer writer = RowFiles.found().create(channel)) {
            Row row = new Row();
            row.begin(0, 0, Event.RESET, "m/i");
            writer.add(row);
            assertThat(writer.flush(Map.of("ioasis.schema", "1"), Long.MAX_VALUE)).isTrue();
            byte[] before = Files.readAllBytes(other);
            channel.fillUp(before.length + 10);

            row.begin(1, 0, Event.RESET, "m/i");
            writer.add(row);
            assertThatThrownBy(() -> writer.flush(Map.of("ioasis.schema", "1"), Long.MAX_VALUE))
                    .isInstanceOf(IOException.class)
                    .hasMessage("No space left on device");
            assertThat(Files.readAllBytes(other)).isEqualTo(before);
            assertThat(Recorded.rows(other)).hasSize(1);
        }
    }
}
