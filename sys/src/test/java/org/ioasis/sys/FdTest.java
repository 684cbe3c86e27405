// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;

class FdTest {
    @Test
    void negativeNumberIsRefused() {
        assertThatThrownBy(() -> Fd.own(-1)).isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void closedDescriptorHasNoNumber() throws Exception {
        Fd fd = Memfd.create("closed", 1);
        fd.close();

        assertThat(fd.isOpen()).isFalse();
        assertThatThrownBy(fd::number).isInstanceOf(IllegalStateException.class);
        assertThatThrownBy(fd::transfer).isInstanceOf(IllegalStateException.class);
        assertThatThrownBy(fd::duplicate).isInstanceOf(IllegalStateException.class);
        assertThatThrownBy(fd::size).isInstanceOf(IllegalStateException.class);
    }

    @Test
    void closingTwiceDoesNotCloseWhoeverHasTheNumberNow() throws Exception {
        Fd first = Memfd.create("first", 1);
        first.close();
        try (Fd second = Memfd.create("second", 1)) {
            // Mostly with the same number: the lowest that is free is given out next.
            first.close();

            assertThat(targetOf(second.number())).startsWith("/memfd:second");
            assertThat(second.size()).isEqualTo(1);
        }
    }

    @Test
    void closingFromManyThreadsClosesOnce() throws Exception {
        for (int round = 0; round < 50; round++) {
            Fd fd = Memfd.create("raced", 1);
            List<Thread> closers =
                    List.of(
                            Thread.ofPlatform().start(fd::close),
                            Thread.ofPlatform().start(fd::close));
            fd.close();
            try (Fd other = Memfd.create("other", 1)) {
                for (Thread closer : closers) {
                    closer.join();
                }
                assertThat(other.size()).isEqualTo(1);
            }
        }
    }

    @Test
    void transferGivesUpOwnership() throws Exception {
        Fd fd = Memfd.create("given", 3);
        int number = fd.transfer();

        fd.close();

        assertThat(fd.isOpen()).isFalse();
        try (Fd taken = Fd.own(number)) {
            assertThat(taken.size()).isEqualTo(3);
        }
    }

    @Test
    void duplicateOutlivesTheOriginal() throws Exception {
        Fd fd = Memfd.create("original", 5);
        try (Fd duplicate = fd.duplicate()) {
            assertThat(duplicate.number()).isNotEqualTo(fd.number());

            fd.close();

            assertThat(duplicate.size()).isEqualTo(5);
            assertThat(isCloseOnExec(duplicate.number())).isTrue();
        }
    }

    @Test
    void sizeOfADescriptorThatIsNotOpenNamesTheNumber() {
        // Above every limit for open files, so that nobody can have it.
        Fd wrong = Fd.own(Integer.MAX_VALUE);

        assertThatThrownBy(wrong::size)
                .isInstanceOf(ErrnoException.class)
                .hasMessage("statx fd=2147483647: EBADF");
        wrong.close();
    }

    @Test
    void everyDescriptorIsCloseOnExec() throws Exception {
        UnixSocket[] pair = UnixSocket.pair();
        try (Fd memory = Memfd.create("cloexec", 1);
                EventFd event = EventFd.create();
                UnixSocket left = pair[0];
                UnixSocket right = pair[1]) {
            assertThat(isCloseOnExec(memory.number())).isTrue();
            assertThat(isCloseOnExec(event.fd())).isTrue();
            assertThat(isCloseOnExec(left.fd())).isTrue();
            assertThat(isCloseOnExec(right.fd())).isTrue();
        }
    }

    static String targetOf(int number) throws Exception {
        return Files.readSymbolicLink(Path.of("/proc/self/fd/" + number)).toString();
    }

    /** From /proc/self/fdinfo: octal flags, O_CLOEXEC is 02000000. */
    static boolean isCloseOnExec(int number) throws Exception {
        return (flags(number) & 0x80000) != 0;
    }

    static long flags(int number) throws Exception {
        Path info = Path.of("/proc/self/fdinfo/" + number);
        assertThat(Files.exists(info, LinkOption.NOFOLLOW_LINKS)).isTrue();
        for (String line : Files.readAllLines(info)) {
            if (line.startsWith("flags:")) {
                return Long.parseLong(line.substring("flags:".length()).strip(), 8);
            }
        }
        throw new AssertionError("no flags in " + info);
    }
}
