// SPDX-License-Identifier: Apache-2.0
package org.ioasis.program;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static org.assertj.core.api.Assertions.assertThat;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import org.ioasis.iommufd.OpenFile;
import org.ioasis.iommufd.PageRun;
import org.ioasis.iommufd.PageSource;
import org.ioasis.sys.CloseWatch;
import org.ioasis.sys.Errno;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.Fd;
import org.ioasis.sys.TaskFiles;
import org.junit.jupiter.api.Test;

/** The kernel's files that stand in for ours, without a program: what they cost us is bounded. */
class StandInsTest {
    private static final long PAGE = 4096;

    private int released;

    /** A device that does nothing. */
    private final class Device implements OpenFile {
        @Override
        public Form form() {
            return Form.DEVICE;
        }

        @Override
        public String name() {
            return "device";
        }

        @Override
        public void release() {
            released++;
        }
    }

    @Test
    void atTheLimitOfWindowsThereIsNoneUntilAFileIsClosed() throws Exception {
        try (CloseWatch closings = CloseWatch.create();
                StandIns standIns = new StandIns(closings, new TaskFiles(), CallTrace.none())) {
            OpenFile one = new Device();
            OpenFile other = new Device();
            Fd ofOne = handOut(standIns, one);
            Fd ofOther = handOut(standIns, other);
            for (int i = 0; i < StandIns.WINDOW_LIMIT; i++) {
                MemorySegment window = Objects.requireNonNull(standIns.window(one, i * PAGE, PAGE));
                window.set(JAVA_INT, 0, i);
            }
            assertThat(standIns.window(other, 0, PAGE)).isNull();
            assertThat(standIns.window(one, PAGE, PAGE)).as("one that is there").isNotNull();

            ofOne.close();
            standIns.drain();

            assertThat(released).isEqualTo(1);
            assertThat(standIns.window(other, 0, PAGE)).isNotNull();
            ofOther.close();
        }
        assertThat(released).isEqualTo(2);
    }

    @Test
    void aWindowIsMemoryOfADeviceAndElsewhereTheFileIsNone() throws Exception {
        TaskFiles files = new TaskFiles();
        try (CloseWatch closings = CloseWatch.create();
                StandIns standIns = new StandIns(closings, files, CallTrace.none())) {
            OpenFile device = new Device();
            try (Fd program = handOut(standIns, device)) {
                MappedRange.FileKey key = key(files, program);
                assertThat(standIns.isOurs(key)).isTrue();
                assertThat(standIns.windowPages(key, 4 * PAGE, PAGE)).isNull();
                assertThat(standIns.window(device, 4 * PAGE, 2 * PAGE)).isNotNull();

                PageRun second =
                        Objects.requireNonNull(standIns.windowPages(key, 5 * PAGE, 8 * PAGE));
                assertThat(second.offset()).isEqualTo(PAGE);
                assertThat(second.length()).as("to the window's end").isEqualTo(PAGE);
                assertThat(second.source().isDevice()).isTrue();
                assertThat(second.source().read(0, MemorySegment.ofArray(new byte[1]), 0, 1))
                        .isEqualTo(-Errno.EFAULT);
                assertThat(standIns.windowPages(key, 3 * PAGE, 8 * PAGE)).isNull();
                assertThat(standIns.windowPages(key, 6 * PAGE, PAGE)).isNull();
            }
        }
    }

    @Test
    void aWindowThatIsHeldOutlivesItsFile() throws Exception {
        TaskFiles files = new TaskFiles();
        try (CloseWatch closings = CloseWatch.create();
                StandIns standIns = new StandIns(closings, files, CallTrace.none())) {
            OpenFile device = new Device();
            Fd program = handOut(standIns, device);
            MappedRange.FileKey key = key(files, program);
            MemorySegment bytes = Objects.requireNonNull(standIns.window(device, 0, PAGE));
            PageSource held = Objects.requireNonNull(standIns.windowPages(key, 0, PAGE)).source();
            assertThat(held.memory()).as("nobody holds it").isNull();
            held.hold();
            bytes.set(JAVA_INT, 0, 7);

            program.close();
            standIns.drain();

            assertThat(standIns.isOurs(key)).isFalse();
            assertThat(bytes.scope().isAlive()).isFalse();
            MemorySegment memory = Objects.requireNonNull(held.memory());
            assertThat(memory.get(JAVA_INT, 0)).isEqualTo(7);
            held.release();
            assertThat(memory.scope().isAlive()).isFalse();
            assertThat(held.memory()).isNull();
        }
    }

    private static MappedRange.FileKey key(TaskFiles files, Fd file) throws ErrnoException {
        files.look(file);
        return MappedRange.FileKey.of(files.device(), files.inode());
    }

    /** What a program has of it. */
    private static Fd handOut(StandIns standIns, OpenFile file) {
        List<Fd> given = new ArrayList<>();
        int number =
                standIns.handOut(
                        file,
                        "",
                        fd -> {
                            try {
                                given.add(fd.duplicate());
                                return 0;
                            } catch (ErrnoException e) {
                                return -e.errno();
                            }
                        });
        assertThat(number).isZero();
        return given.getFirst();
    }
}
