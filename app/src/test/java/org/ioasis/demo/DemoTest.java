// SPDX-License-Identifier: Apache-2.0
package org.ioasis.demo;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import org.ioasis.virtqueue.RingFormat;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** The demonstration shows what it says, and would show if it were not so. */
class DemoTest {
    private static final int DISK = 2 << 20;

    @TempDir private Path folder;

    private Path disk() throws IOException {
        return Files.write(folder.resolve("disk.img"), new byte[DISK]);
    }

    @ParameterizedTest
    @EnumSource
    void allDataIsRightAndNothingGetsOut(RingFormat ring) throws Exception {
        try (Demo demo = new Demo(disk(), ring, System::nanoTime, 7)) {
            for (int i = 0; i < 20; i++) {
                demo.round();
            }
            demo.compareFile();

            DemoFigures figures = demo.figures();
            assertThat(figures.isOk()).isTrue();
            assertThat(figures.requests()).isEqualTo(20 * 2 * 21);
            assertThat(figures.verifiedBytes()).isEqualTo(20L * 21 * (64 << 10));
            assertThat(figures.fileBytes()).as("each piece was written").isEqualTo(DISK);
            assertThat(figures.shots()).isEqualTo(20 * 2 * 3 * 64);
            assertThat(figures.stopped()).isEqualTo(figures.shots());
            assertThat(figures.unmaps()).isEqualTo(figures.requests());
            // Rings and headers stay.
            assertThat(demo.mappings()).isEqualTo(2);
            assertThat(DemoScreen.figures(figures, "split", 1.5))
                    .startsWith("ok: 1.5 s, ring split: 840 requests");
        }
    }

    @Test
    void aFileThatIsNotWhatWasWrittenIsSeen() throws Exception {
        Path file = disk();
        try (Demo demo = new Demo(file, RingFormat.SPLIT, System::nanoTime, 7)) {
            for (int i = 0; i < 20; i++) {
                demo.round();
            }
            try (FileChannel bytes = FileChannel.open(file, StandardOpenOption.WRITE)) {
                bytes.write(ByteBuffer.wrap(new byte[1]), DISK - 1);
                bytes.write(ByteBuffer.wrap(new byte[] {1, 2, 3, 4}), 0);
            }
            demo.compareFile();

            assertThat(demo.figures().wrong()).isPositive();
            assertThat(demo.figures().isOk()).isFalse();
        }
    }

    @Test
    void whatHasDoneNothingIsNotRight() throws Exception {
        try (Demo demo = new Demo(disk(), RingFormat.SPLIT, System::nanoTime, 7)) {
            assertThat(demo.figures().isOk()).isFalse();
        }
    }

    @Test
    void theScreenHas80ColumnsAnd24Lines() throws Exception {
        try (Demo demo = new Demo(disk(), RingFormat.SPLIT, System::nanoTime, 7)) {
            for (int i = 0; i < 3; i++) {
                demo.round();
            }
            for (double seconds : new double[] {0, 0.001, 5, 10, 1000}) {
                List<String> lines = DemoScreen.lines(demo, "split", seconds, 10);
                assertThat(lines).hasSizeBetween(15, DemoScreen.LINES);
                assertThat(lines)
                        .allSatisfy(line ->
                                assertThat(line).hasSizeLessThanOrEqualTo(DemoScreen.COLUMNS));
                assertThat(lines.toString()).contains("endpoint ").doesNotContain("\033");
            }
        }
    }
}
