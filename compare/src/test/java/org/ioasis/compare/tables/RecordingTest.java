// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare.tables;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.ioasis.iommu.pagetable.Cell;
import org.ioasis.memory.Outcome;
import org.ioasis.output.OutputFile;
import org.ioasis.output.OutputKind;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class RecordingTest {
    private static final long PAGE = 0xf_ffff_f000L;

    /** A queue of 256 entries at PAGE, whose next entry is the second. */
    private static Recording recording(long head) {
        long[] words = new long[512];
        words[0] = 0x25;
        words[1] = -1;
        words[510] = 0x36;
        words[511] = 0x1000;
        GuestPages pages = GuestPages.written();
        pages.put(PAGE, words);
        return new Recording(
                Subject.VTD_LEGACY,
                "QEMU 1.2, Linux 3.4",
                Map.of("RTADDR", 0x1000L, "IQH", head, "IQT", 0x10L, "IQA", PAGE),
                pages,
                List.of(
                        new TraceEvent.Filled(-1, 2, -1, 12, 3),
                        new TraceEvent.Translated(0x20, -4096, 0x1000, 12, 0),
                        new TraceEvent.Found(0x20, -1, 5),
                        new TraceEvent.Command(-1, 1),
                        new TraceEvent.Dropped(-1, 0, -1),
                        new TraceEvent.Trouble("what it says")));
    }

    @Test
    void whatWasWrittenDownIsReadBack() throws Exception {
        Recording written = recording(0x10);
        Recording read = Recording.read(written.bytes());

        assertThat(read.subject()).isEqualTo(written.subject());
        assertThat(read.maker()).isEqualTo(written.maker());
        assertThat(read.registers()).isEqualTo(written.registers());
        assertThat(read.events()).isEqualTo(written.events());
        assertThat(read.pages().pages()).containsOnlyKeys(PAGE);
        assertThat(read.pages().pages().get(PAGE)).isEqualTo(written.pages().pages().get(PAGE));
        assertThat(read.bytes()).isEqualTo(written.bytes());
    }

    @Test
    void otherFilesAndDamagedOnesAreRefused() throws Exception {
        byte[] bytes = recording(0x10).bytes();
        for (byte[] other :
                List.of(
                        new byte[0],
                        "ioasis compare tables".getBytes(StandardCharsets.US_ASCII),
                        Arrays.copyOf(bytes, bytes.length / 2))) {
            assertThatThrownBy(() -> Recording.read(other)).isInstanceOf(IOException.class);
        }
    }

    @Test
    void memoryThatWasNotWrittenDownIsAbsentAndNoneIsWritten() throws Exception {
        GuestPages pages = recording(0x10).pages();
        Cell cell = new Cell();

        assertThat(pages.load(PAGE + 8, cell)).isEqualTo(Outcome.OK);
        assertThat(cell.word()).isEqualTo(-1);
        assertThat(pages.load(PAGE + 4096, cell)).isEqualTo(Outcome.ABSENT);
        assertThat(pages.exchange(PAGE, 0x25, 0, cell)).isEqualTo(Outcome.REFUSED);
        assertThat(pages.word(PAGE)).isEqualTo(0x25);
        assertThatThrownBy(() -> pages.word(0)).isInstanceOf(IOException.class);
    }

    @Test
    void commandsOfARingAreInTheOrderInWhichTheyWereWritten() throws Exception {
        Recording recording = recording(0x10);

        assertThat(CommandQueue.of(recording).commands(recording.pages()))
                .containsExactly(
                        new TraceEvent.Command(0x36, 0x1000), new TraceEvent.Command(0x25, -1));
    }

    @Test
    void queueWithCommandsThatAreNotCarriedOutIsNoneToCompareWith() {
        assertThatThrownBy(() -> CommandQueue.of(recording(0)))
                .hasMessageContaining("not carried out");
    }

    @Test
    void recordingMayTakeThePlaceOfAnother(@TempDir Path folder) throws Exception {
        Path file = folder.resolve("amd.tables");
        OutputFile.write(file, OutputKind.TABLES, recording(0x10).bytes());

        assertThat(OutputFile.refusal(file, OutputKind.TABLES)).isNull();
        assertThat(OutputFile.refusal(file, OutputKind.COMPARISON)).isNotNull();
    }
}
