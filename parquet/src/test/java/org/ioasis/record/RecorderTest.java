// SPDX-License-Identifier: Apache-2.0
package org.ioasis.record;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.hardwood.InputFile;
import dev.hardwood.reader.ParquetFileReader;
import dev.hardwood.reader.RowReader;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.LongSupplier;
import org.ioasis.iommu.EndpointProperties;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.iommu.ReservedRegion;
import org.ioasis.machine.LocalIommu;
import org.ioasis.memory.Access;
import org.ioasis.memory.Dma;
import org.ioasis.virtio.driver.DriverMemory;
import org.ioasis.virtio.driver.Patience;
import org.ioasis.virtio.iommu.driver.DriverDomain;
import org.ioasis.virtio.iommu.driver.DriverOptions;
import org.ioasis.virtio.iommu.driver.IommuDriver;
import org.ioasis.virtio.iommu.driver.Permission;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What a driver asks and devices do, written and read again. */
final class RecorderTest {
    private static final int DISK = 0x10;
    private static final int NET = 0x18;
    private static final long MIB = 1 << 20;

    @TempDir private Path folder;

    private final MemorySegment memory = Arena.ofAuto().allocate(MIB, 4096);
    private Path file;
    private LongSupplier clock = System::nanoTime;
    private Recorder recorder;
    private LocalIommu iommu;
    private Dma disk;
    private IommuDriver driver;

    @BeforeEach
    void start() throws Exception {
        file = folder.resolve("r.parquet");
        start(RecordConfig.of(file, 64, "a test"), EventRing.CAPACITY);
    }

    private void start(RecordConfig config, int capacity) throws Exception {
        recorder = Recorder.create(config, capacity, clock);
        IommuOptions options = IommuOptions.builder().bypassAtStart(false).build();
        iommu = new LocalIommu(options, memory, 0, System::nanoTime);
        recorder.watch("machine", "iommu", iommu.engine(), iommu.iommu());
        disk =
                iommu.plug(
                        DISK,
                        EndpointProperties.reserving(
                                List.of(
                                        new ReservedRegion(
                                                0xfee0_0000L,
                                                0xfeef_ffffL,
                                                ReservedRegion.Kind.MSI))));
        var _ = iommu.plug(NET, EndpointProperties.UNLIMITED);
        long own = IommuDriver.memoryBytes(DriverOptions.DEFAULT);
        driver =
                new IommuDriver(
                        iommu.transport(),
                        new DriverMemory(memory.asSlice(0, own), 0),
                        Patience.looks(1000, iommu::turn),
                        DriverOptions.DEFAULT);
    }

    @AfterEach
    void end() throws IOException {
        recorder.close();
        iommu.close();
    }

    private void access(long address, int length, Access access) {
        disk.enter();
        try {
            byte[] bytes = new byte[length];
            var _ =
                    access == Access.READ
                            ? disk.read(address, MemorySegment.ofArray(bytes), 0, length)
                            : disk.write(address, MemorySegment.ofArray(bytes), 0, length);
        } finally {
            disk.leave();
        }
    }

    /** Attaches, maps, reads, writes, unmaps, and goes where nothing is. */
    private void work() throws Exception {
        DriverDomain domain = driver.domain();
        driver.attach(domain, DISK);
        domain.map(0x1000, 0x2fff, 0x8_0000, Permission.READ_WRITE);
        domain.map(0x3000, 0x3fff, 0x9_0000, Permission.READ);
        access(0x1ff0, 0x20, Access.WRITE);
        access(0x2800, 0x1000, Access.READ); // goes on in the next mapping
        access(0x2ff0, 0x20, Access.WRITE); // the next one may not be written
        domain.unmap(0x1000, 0x2fff);
        access(0x1000, 8, Access.READ);
        driver.detach(DISK);
        access(0x1000, 8, Access.READ);
    }

    private static final List<String> WORK =
            List.of(
                    "machine/iommu RESET flags 0",
                    "machine/iommu ATTACH endpoint 0x10 domain 0x0 flags 0 -> OK",
                    "machine/iommu MAP domain 0x0 0x1000..0x2fff to 0x80000 flags 3 -> OK",
                    "machine/iommu MAP domain 0x0 0x3000..0x3fff to 0x90000 flags 1 -> OK",
                    "machine/iommu ACCESS endpoint 0x10 domain 0x0 0x1ff0..0x200f to 0x80ff0 flags 2",
                    "machine/iommu ACCESS endpoint 0x10 domain 0x0 0x2800..0x2fff to 0x81800 flags 1",
                    "machine/iommu ACCESS endpoint 0x10 domain 0x0 0x3000..0x37ff to 0x90000 flags 1",
                    "machine/iommu ACCESS endpoint 0x10 domain 0x0 0x2ff0..0x2fff to 0x81ff0 flags 2",
                    "machine/iommu FAULT endpoint 0x10 domain 0x0 0x3000..0x300f flags 2 -> MAPPING",
                    "machine/iommu UNMAP domain 0x0 0x1000..0x2fff -> OK",
                    "machine/iommu FAULT endpoint 0x10 domain 0x0 0x1000..0x1007 flags 1 -> MAPPING",
                    "machine/iommu DETACH endpoint 0x10 domain 0x0 -> OK",
                    "machine/iommu FAULT endpoint 0x10 0x1000..0x1007 flags 1 -> DOMAIN");

    @Test
    void whatADriverAsksAndADeviceDoesComesBackInItsOrder() throws Exception {
        recorder.begin();
        work();
        recorder.close();

        assertThat(Recorded.rows(file)).isEqualTo(WORK);
        assertThat(recorder.figures())
                .isEqualTo(new Recorder.Figures(WORK.size(), 0, Files.size(file), null));
        assertThat(Recorded.about(file, "ioasis.command")).isEqualTo("a test");
        assertThat(Recorded.about(file, "ioasis.lost")).isEqualTo("0");
        assertThat(Recorded.about(file, "ioasis.iommu.0"))
                .startsWith("name=machine/iommu pages=0x1000 input=0x0-0xffffffffffffffff");
        assertThat(Recorded.about(file, "ioasis.iommu.0.endpoint." + DISK))
                .isEqualTo(
                        "pages=0x0 input=0x0-0xffffffffffffffff reserved=MSI,0xfee00000-0xfeefffff");
    }

    @Test
    void anotherLibraryReadsTheSame() throws Exception {
        recorder.begin();
        work();
        recorder.close();

        List<String> events = new ArrayList<>();
        List<Long> outputs = new ArrayList<>();
        try (ParquetFileReader reader = ParquetFileReader.open(InputFile.of(file));
                RowReader rows = reader.rowReader()) {
            while (rows.hasNext()) {
                rows.next();
                events.add(rows.getString("event"));
                if (!rows.isNull("output")) {
                    outputs.add(rows.getLong("output"));
                }
            }
        }
        assertThat(events)
                .containsExactlyElementsOf(WORK.stream().map(row -> row.split(" ", 3)[1]).toList());
        assertThat(outputs)
                .containsExactly(0x8_0000L, 0x9_0000L, 0x8_0ff0L, 0x8_1800L, 0x9_0000L, 0x8_1ff0L);
    }

    @Test
    void whatFoundNoRoomIsSaidInTheFileAndByTheCommand() throws Exception {
        recorder.close();
        iommu.close();
        Files.delete(file);
        start(RecordConfig.of(file, 64, "a test"), 4);
        work();
        recorder.begin();
        recorder.close();

        int lost = WORK.size() - 4;
        List<String> rows = new ArrayList<>(WORK.subList(0, 4));
        rows.add("machine/iommu LOST " + lost);
        assertThat(Recorded.rows(file)).isEqualTo(rows);
        assertThat(Recorded.about(file, "ioasis.lost")).isEqualTo(Integer.toString(lost));
        assertThat(recorder.figures().lost()).isEqualTo(lost);
        assertThat(recorder.figures().sentence("F"))
                .isEqualTo(
                        "recorded 5 rows, %d bytes, in F; %d are missing, which could not be written"
                                .formatted(Files.size(file), lost));
    }

    @Test
    void aFileThatIsAsLargeAsItMayBeSaysHowManyRowsAreMissing() throws Exception {
        recorder.close();
        iommu.close();
        start(new RecordConfig(file, 1000, "a test"), EventRing.CAPACITY);
        recorder.begin();
        work();
        recorder.close();

        assertThat(Recorded.rows(file)).containsExactly("machine/iommu LOST " + WORK.size());
        assertThat(recorder.figures().lost()).isEqualTo(WORK.size());
        assertThat(recorder.figures().failure()).isNull();
    }

    @Test
    void aFileThatHasAsManyPartsAsAReaderTakesSaysHowManyRowsAreMissing() throws Exception {
        recorder.close();
        iommu.close();
        AtomicLong now = new AtomicLong();
        // A part whenever there is a row: each look at this clock is a minute after the last.
        clock = () -> now.addAndGet(60_000_000_000L);
        start(
                new RecordConfig(file, Long.MAX_VALUE, "c".repeat((1 << 22) - (1 << 14))),
                EventRing.CAPACITY);
        recorder.begin();
        int seen = 1; // the driver's reset
        for (int looks = 0; recorder.figures().lost() == 0 && looks < 3000; looks++) {
            if (recorder.figures().rows() == seen) {
                access(0x1000, 8, Access.READ);
                seen++;
            }
            Thread.sleep(2);
        }
        recorder.close();

        long written = recorder.figures().rows() - 1;
        long lost = recorder.figures().lost();
        assertThat(written).isBetween(5L, 100L);
        assertThat(lost).isPositive().isEqualTo(seen - written);
        assertThat(recorder.figures().failure()).isNull();
        assertThat(Recorded.rows(file))
                .hasSize((int) written + 1)
                .last()
                .isEqualTo("machine/iommu LOST " + lost);
    }

    @Test
    void anEarlierRecordingIsReplacedAndAnythingElseIsNot() throws Exception {
        recorder.begin();
        recorder.close();
        Recorder.create(RecordConfig.of(file, 64, "again"), 4, System::nanoTime).close();

        Path other = folder.resolve("other");
        Files.writeString(other, "PAR1 of somebody else");
        assertThatThrownBy(() -> Recorder.create(RecordConfig.of(other, 64, "a test")))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("is there and is not a recording of Ioasis");
        assertThat(other).hasContent("PAR1 of somebody else");
    }
}
