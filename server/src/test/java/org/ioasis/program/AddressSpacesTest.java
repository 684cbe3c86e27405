// SPDX-License-Identifier: Apache-2.0
package org.ioasis.program;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static org.assertj.core.api.Assertions.assertThat;

import java.io.BufferedReader;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.FutureTask;
import java.util.concurrent.atomic.AtomicInteger;
import org.ioasis.iommufd.PageRun;
import org.ioasis.sys.CloseWatch;
import org.ioasis.sys.Errno;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.Fd;
import org.ioasis.sys.Memfd;
import org.ioasis.sys.TaskFiles;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** The memory of other processes: which page is which, and what is left of it when they end. */
@Timeout(60)
class AddressSpacesTest {
    private static final long PAGE = 4096;

    @TempDir static Path folder;
    private static CompiledProgram program;

    private final List<Process> started = new ArrayList<>();
    private final AddressSpaces spaces = new AddressSpaces(new TaskFiles(), noFiles(), false, 2, 2);
    private final MemorySegment bytes = Arena.ofAuto().allocate(PAGE);

    /** A process that says where it has a private page, a shared one and a read-only one. */
    private record Memory(Process process, int pid, long own, long shared, long constant) {}

    /** Of programs that have none of ours. */
    private static StandIns noFiles() {
        try (CloseWatch closings = CloseWatch.create()) {
            return new StandIns(closings, new TaskFiles(), CallTrace.none());
        } catch (ErrnoException e) {
            throw new AssertionError(e);
        }
    }

    /** The memory of a process that is known to run. */
    private AddressSpace space(int process) {
        return Objects.requireNonNull(spaces.of(process));
    }

    /** Pages that are known to be there, for writing. */
    private static PageRun pages(AddressSpace space, long address, long length) {
        return Objects.requireNonNull(space.pages(address, length, true));
    }

    @BeforeAll
    static void compile() throws Exception {
        program = new CompiledProgram(folder, "memory.c");
    }

    @BeforeEach
    void nothingIsKnown() {
        assertThat(spaces.known(1)).isNull();
    }

    @AfterEach
    void end() {
        started.forEach(Process::destroyForcibly);
        spaces.close();
    }

    @Test
    void privatePagesAreToldByProcessAndAddress() throws Exception {
        Memory one = start();
        AddressSpace space = space(one.pid());

        PageRun whole = pages(space, one.own(), 2 * PAGE);
        PageRun second = pages(space, one.own() + PAGE, PAGE);

        assertThat(whole).isEqualTo(new PageRun(second.source(), one.own(), 2 * PAGE));
        assertThat(second.offset()).isEqualTo(one.own() + PAGE);
        assertThat(whole.source().read(one.own(), bytes, 0, 4)).isZero();
        assertThat(bytes.get(JAVA_BYTE, 0)).isEqualTo((byte) 'p');
        bytes.set(JAVA_BYTE, 0, (byte) 'q');
        assertThat(whole.source().write(one.own(), bytes, 0, 1)).isZero();
        assertThat(space.read(one.own(), bytes, 0, 1)).isZero();
        assertThat(bytes.get(JAVA_BYTE, 0)).isEqualTo((byte) 'q');
    }

    @Test
    void pagesThatTheProgramMayNotWriteAreNotGivenForWriting() throws Exception {
        Memory one = start();
        AddressSpace space = space(one.pid());

        assertThat(space.pages(one.constant(), PAGE, false)).isNotNull();
        assertThat(space.pages(one.constant(), PAGE, true)).isNull();
        assertThat(space.pages(0x1000, PAGE, false)).isNull();
        assertThat(space.pages(-PAGE, PAGE, false)).isNull();
        assertThat(space.write(one.constant(), bytes, 0, 1)).isEqualTo(-Errno.EFAULT);
    }

    @Test
    void sharedPagesAreTheSameInParentAndChildAndOutliveBothWhenHeld() throws Exception {
        Memory parent = start();
        int child = Integer.parseInt(parent.process().inputReader().readLine());
        PageRun inParent = pages(space(parent.pid()), parent.shared(), PAGE);
        PageRun inChild = pages(space(child), parent.shared(), PAGE);

        assertThat(inChild).isEqualTo(inParent);
        inParent.source().hold();
        parent.process().destroyForcibly().waitFor();
        assertThat(spaces.of(parent.pid())).isNull();
        assertThat(inParent.source().read(inParent.offset(), bytes, 0, 1)).isZero();
        assertThat(bytes.get(JAVA_BYTE, 0)).isEqualTo((byte) 's');
        inParent.source().release();
    }

    @Test
    void sharedPagesOfAProcessThatHasEndedAreReachedThroughAnother() throws Exception {
        Memory parent = start();
        int child = Integer.parseInt(parent.process().inputReader().readLine());
        space(parent.pid());
        AddressSpace last = space(child);
        PageRun run = pages(last, parent.shared(), PAGE);

        ProcessHandle.of(child).orElseThrow().destroyForcibly();
        while (!last.isGone()) {
            Thread.onSpinWait();
        }

        assertThat(run.source().read(run.offset(), bytes, 0, 1)).isZero();
        assertThat(bytes.get(JAVA_BYTE, 0)).isEqualTo((byte) 's');
        bytes.set(JAVA_BYTE, 0, (byte) 't');
        assertThat(run.source().write(run.offset(), bytes, 0, 1)).isZero();
        assertThat(space(parent.pid()).read(parent.shared(), bytes, 1, 1)).isZero();
        assertThat(bytes.get(JAVA_BYTE, 1)).isEqualTo((byte) 't');
        parent.process().destroyForcibly().waitFor();
        assertThat(run.source().read(run.offset(), bytes, 0, 1)).isEqualTo(-Errno.EFAULT);
    }

    @Test
    void eachThreadOfAProcessHasItsMemory() throws Exception {
        AddressSpace ours = space((int) ProcessHandle.current().pid());
        List<Integer> threads = new ArrayList<>();
        try (DirectoryStream<Path> all = Files.newDirectoryStream(Path.of("/proc/self/task"))) {
            all.forEach(entry -> threads.add(Integer.valueOf(entry.getFileName().toString())));
        }
        assertThat(threads).hasSizeGreaterThan(1);
        // Threads of the JVM may end meanwhile; the first one does not.
        for (int thread : threads) {
            AddressSpace found = spaces.of(thread);
            assertThat(found == null || found.equals(ours)).as("thread %d", thread).isTrue();
        }
        assertThat(spaces.of((int) ProcessHandle.current().pid())).isSameAs(ours);
    }

    @Test
    void aProcessMayLockWhatItsLimitSaysAndUnderTestsAnyNumberOfPages() throws Exception {
        Process limited =
                new ProcessBuilder("sh", "-c", "ulimit -l 64; exec " + program.path()).start();
        started.add(limited);
        assertThat(limited.inputReader().readLine()).isNotNull();
        int process = (int) limited.pid();

        assertThat(space(process).locked().limitPages()).isEqualTo(16);
        try (AddressSpaces forTests = new AddressSpaces(new TaskFiles(), noFiles(), true)) {
            assertThat(Objects.requireNonNull(forTests.of(process)).locked().limitPages())
                    .isNegative();
        }
    }

    @Test
    void memoryOfAProcessThatHasEndedIsGone() throws Exception {
        Memory one = start();
        AddressSpace space = space(one.pid());
        PageRun run = pages(space, one.own(), PAGE);

        one.process().destroyForcibly().waitFor();

        assertThat(space.isGone()).isTrue();
        assertThat(space.pages(one.own(), PAGE, true)).isNull();
        assertThat(run.source().read(run.offset(), bytes, 0, 1)).isEqualTo(-Errno.EFAULT);
        assertThat(run.source().write(run.offset(), bytes, 0, 1)).isEqualTo(-Errno.EFAULT);
    }

    @Test
    void processesBeyondTheLimitAreNotKnownUntilOneHasEnded() throws Exception {
        Memory first = start();
        Memory second = start();
        Memory third = start();

        assertThat(spaces.of(first.pid())).isSameAs(spaces.of(first.pid())).isNotNull();
        assertThat(spaces.of(second.pid())).isNotNull();
        assertThat(spaces.of(third.pid())).isNull();
        first.process().destroyForcibly().waitFor();
        assertThat(spaces.of(third.pid())).isNotNull();
    }

    @Test
    void sharedPagesThatNobodyHoldsAreForgottenAtTheLimit() {
        SharedPages held = spaces.shared(new MappedRange.FileKey("00:01", 1));
        SharedPages loose = spaces.shared(new MappedRange.FileKey("00:01", 2));
        held.hold();

        SharedPages third = spaces.shared(new MappedRange.FileKey("00:01", 3));

        assertThat(third).isNotEqualTo(loose);
        assertThat(spaces.shared(new MappedRange.FileKey("00:01", 1))).isSameAs(held);
        assertThat(spaces.shared(new MappedRange.FileKey("00:01", 2)))
                .isEqualTo(loose)
                .isNotSameAs(loose);
    }

    /** Our own descriptors of a file. */
    private static int descriptorsOf(String name) throws Exception {
        int found = 0;
        try (DirectoryStream<Path> all = Files.newDirectoryStream(Path.of("/proc/self/fd"))) {
            for (Path entry : all) {
                if (Files.isSymbolicLink(entry)
                        && Files.readSymbolicLink(entry).toString().contains("memfd:" + name)) {
                    found++;
                }
            }
        }
        return found;
    }

    @Test
    void aFileThatAMappingNamesCostsADescriptorUntilThatMappingIsGone() throws Exception {
        try (Fd file = Memfd.create("named", PAGE)) {
            for (int i = 0; i < 5; i++) {
                SharedPages pages = spaces.shared(file.duplicate());
                SharedPages same = spaces.shared(file.duplicate());
                assertThat(same).isSameAs(pages);
                pages.unname();
                assertThat(descriptorsOf("named")).as("named once more").isEqualTo(2);
                same.unname();
            }
            assertThat(descriptorsOf("named")).isEqualTo(1);
        }
    }

    @Test
    void aNamedFileIsReachedWhenItIsHeldAgain() throws Exception {
        try (Fd file = Memfd.create("again", PAGE)) {
            SharedPages pages = spaces.shared(file.duplicate());
            pages.hold();
            pages.release();
            pages.hold();
            assertThat(pages.read(0, bytes, 0, PAGE)).isZero();
            assertThat(pages.write(0, bytes, 0, PAGE)).isZero();
            pages.unname();
            assertThat(pages.read(0, bytes, 0, PAGE)).as("held").isZero();
            pages.release();
            assertThat(descriptorsOf("again")).isEqualTo(1);
        }
    }

    @Test
    void aFileThatIsCutShortWhileItIsHeldIsAFaultAndIsNotMadeLonger() throws Exception {
        try (Fd file = Memfd.create("cut", 4 * PAGE);
                FileChannel channel =
                        FileChannel.open(
                                Path.of("/proc/self/fd/" + file.number()),
                                StandardOpenOption.WRITE)) {
            SharedPages pages = spaces.shared(file.duplicate());
            pages.hold();
            bytes.set(JAVA_BYTE, 0, (byte) 7);
            assertThat(pages.write(3 * PAGE, bytes, 0, PAGE)).isZero();
            assertThat(pages.read(3 * PAGE, bytes, 0, PAGE)).isZero();
            channel.truncate(PAGE);
            assertThat(pages.read(3 * PAGE, bytes, 0, PAGE)).isEqualTo(-Errno.EFAULT);
            assertThat(pages.write(3 * PAGE, bytes, 0, PAGE)).isEqualTo(-Errno.EFAULT);
            assertThat(pages.write(PAGE / 2, bytes, 0, PAGE)).isEqualTo(-Errno.EFAULT);
            assertThat(file.size()).isEqualTo(PAGE);
            assertThat(pages.read(0, bytes, 0, PAGE)).as("what is left").isZero();
            pages.release();
        }
    }

    @Test
    void aFileThatIsCutWhileItIsWrittenIsNeverMadeLonger() throws Exception {
        try (Fd file = Memfd.create("cut", 0);
                FileChannel channel =
                        FileChannel.open(
                                Path.of("/proc/self/fd/" + file.number()),
                                StandardOpenOption.WRITE)) {
            SharedPages pages = spaces.shared(file.duplicate());
            pages.hold();
            AtomicInteger longer = new AtomicInteger();
            FutureTask<Void> cutter =
                    new FutureTask<>(() -> {
                        ByteBuffer last = ByteBuffer.allocate(1);
                        for (int i = 0; i < 20_000; i++) {
                            channel.write(last.rewind(), 4 * PAGE - 1);
                            channel.truncate(0);
                            for (int look = 0; look < 8; look++) {
                                longer.addAndGet(channel.size() == 0 ? 0 : 1);
                            }
                        }
                        return null;
                    });
            Thread.ofPlatform().start(cutter);
            int written = 0;
            while (!cutter.isDone()) {
                written += pages.write(3 * PAGE, bytes, 0, PAGE) == 0 ? 1 : 0;
            }
            cutter.get();
            assertThat(longer).as("after %d writes", written).hasValue(0);
            pages.release();
        }
    }

    private Memory start() throws Exception {
        Process process = new ProcessBuilder(program.path().toString()).start();
        started.add(process);
        BufferedReader lines = process.inputReader();
        return new Memory(
                process,
                (int) process.pid(),
                Long.parseLong(lines.readLine()),
                Long.parseLong(lines.readLine()),
                Long.parseLong(lines.readLine()));
    }
}
