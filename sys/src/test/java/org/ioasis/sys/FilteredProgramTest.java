// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/**
 * Programs of this machine under a filter, with an answer of ours for one path that is not there. A
 * kernel that forbids the mechanism fails here, with the name of the call in the message: nothing
 * that is built on it works then.
 */
@Timeout(60)
class FilteredProgramTest {
    private static final String NOT_THERE = "/dev/ioasis-is-not-there";
    private static final CallFilter OPENS =
            CallFilter.builder().always(LinuxCall.OPEN).always(LinuxCall.OPENAT).build();

    @TempDir Path folder;

    private final List<String> opened = new ArrayList<>();

    @Test
    void programReadsWhatWeGiveItForAFileThatIsNotThere() throws Exception {
        Path out = folder.resolve("out");

        ChildProcess.End end =
                run(List.of("sh", "-c", "cat " + NOT_THERE + " >" + out), this::giveOurFile);

        assertThat(end).isEqualTo(new ChildProcess.End.Exit(0));
        assertThat(Files.readString(out)).isEqualTo("from us");
        assertThat(opened).contains(NOT_THERE);
    }

    @Test
    void codeThatTheProgramExitsWithIsItsOwn() throws Exception {
        assertThat(run(List.of("sh", "-c", "exit 7"), CallListener::proceed))
                .isEqualTo(new ChildProcess.End.Exit(7));
    }

    @Test
    void signalThatKillsTheProgramIsSeen() throws Exception {
        assertThat(run(List.of("sh", "-c", "kill -KILL $$"), CallListener::proceed))
                .isEqualTo(new ChildProcess.End.Signal(9));
    }

    @Test
    void refusalOfOursIsWhatTheProgramSees() throws Exception {
        Path out = folder.resolve("out");

        run(
                List.of("sh", "-c", "LC_ALL=C cat " + NOT_THERE + " 2>" + out),
                call -> {
                    if (path(call).equals(NOT_THERE)) {
                        call.answer(-Errno.EBUSY);
                    } else {
                        call.proceed();
                    }
                });

        assertThat(Files.readString(out)).contains("busy");
    }

    @Test
    void callerThatIsKilledWaitsForNoAnswer() throws Exception {
        List<Boolean> pending = new ArrayList<>();

        ChildProcess.End end =
                run(
                        List.of("cat", NOT_THERE),
                        call -> {
                            if (path(call).equals(NOT_THERE)) {
                                pending.add(call.isPending());
                                new ChildProcess(call.thread()).signal(9);
                                while (call.isPending()) {
                                    Thread.onSpinWait();
                                }
                                pending.add(call.isPending());
                            }
                            // Nobody gets it, and nothing breaks.
                            call.proceed();
                        });

        assertThat(end).isEqualTo(new ChildProcess.End.Signal(9));
        assertThat(pending).containsExactly(true, false);
    }

    @Test
    void programThatIsNotThereIsSaid() throws Exception {
        assertThatThrownBy(() -> run(List.of("ioasis-no-such-program"), CallListener::proceed))
                .isInstanceOf(ErrnoException.class)
                .hasMessage("posix_spawnp ioasis-no-such-program: ENOENT");
    }

    @Test
    void programStartsWithNoSignalBlocked() throws Exception {
        Path out = folder.resolve("out");

        run(List.of("sh", "-c", "grep SigBlk /proc/self/status >" + out), CallListener::proceed);

        assertThat(Files.readString(out).strip()).endsWith("0000000000000000");
    }

    @Test
    void nothingIsLeftOpenAfterAProgram() throws Exception {
        run(List.of("true"), CallListener::proceed);
        OpenResources before = OpenResources.now();
        int descriptors = descriptors();

        run(List.of("cat", NOT_THERE), this::giveOurFile);

        assertThat(OpenResources.now().openedSince(before)).isEmpty();
        assertThat(descriptors()).isEqualTo(descriptors);
    }

    private static int descriptors() {
        return Path.of("/proc/self/fd").toFile().list().length;
    }

    private void giveOurFile(CallListener call) {
        String path = path(call);
        opened.add(path);
        if (!path.equals(NOT_THERE)) {
            call.proceed();
            return;
        }
        try (Arena arena = Arena.ofConfined();
                Fd file = Memfd.create("given", 0)) {
            MemorySegment text = arena.allocateFrom("from us", UTF_8);
            assertThat(FileBytes.write(file, 0, text, 0, 7)).isEqualTo(7);
            assertThat(call.giveAsAnswer(file, 700, true)).isEqualTo(700);
        } catch (ErrnoException e) {
            throw new AssertionError(e);
        }
    }

    private static String path(CallListener call) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment text = arena.allocate(256);
            long address = call.argument(call.number() == LinuxCall.OPENAT ? 1 : 0);
            int length = new RemoteMemory().readString(call.thread(), address, text);
            return length < 0 ? "?" : text.getString(0, UTF_8);
        }
    }

    /** Runs a program to its end; each of its calls goes to {@code answers}. */
    private static ChildProcess.End run(List<String> command, Consumer<CallListener> answers)
            throws Exception {
        FilteredProgram program =
                FilteredProgram.start(OPENS, command.stream().map(w -> w.getBytes(UTF_8)).toList());
        AtomicReference<Throwable> failed = new AtomicReference<>();
        Thread server =
                Thread.ofPlatform()
                        .name("server")
                        .start(() -> {
                            try (CallListener listener = program.awaitListener();
                                    Epoll epoll = Epoll.create()) {
                                epoll.add(listener.fd(), Epoll.IN, 0);
                                while (epoll.await(-1) == 0 || (epoll.events(0) & Epoll.HUP) == 0) {
                                    if (listener.receive()) {
                                        answers.accept(listener);
                                    }
                                }
                            } catch (Throwable e) {
                                failed.set(e);
                            }
                        });
        try {
            return new ChildProcess(program.awaitPid()).await();
        } finally {
            server.join();
            assertThat(failed.get()).isNull();
        }
    }
}
