// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static org.assertj.core.api.Assertions.assertThat;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import org.junit.jupiter.api.Test;

/** Another process's memory by address; here our own, which the kernel treats alike. */
class RemoteMemoryTest {
    private static final int SELF = (int) ProcessHandle.current().pid();
    private static final long PAGE = 4096;

    private final RemoteMemory remote = new RemoteMemory();
    private final MemorySegment buffer = Arena.ofAuto().allocate(PAGE);

    @Test
    void bytesAreReadAndWrittenWhereTheAddressSays() {
        MemorySegment there = Arena.ofAuto().allocate(16);
        there.setString(0, "remote");

        assertThat(remote.read(SELF, there.address(), buffer, 8, 7)).isZero();
        assertThat(buffer.getString(8)).isEqualTo("remote");
        buffer.setString(0, "R");
        assertThat(remote.write(SELF, there.address(), buffer, 0, 1)).isZero();
        assertThat(there.getString(0)).isEqualTo("Remote");
        assertThat(remote.read(SELF, 0, buffer, 0, 0)).isZero();
    }

    @Test
    void whatIsNotAllThereIsEfault() throws Exception {
        try (Fd fd = Memfd.create("one page", 2 * PAGE);
                Mapping mapping = Mapping.map(fd, 0, 2 * PAGE, true)) {
            // Behind a file's end is a page that nobody can touch.
            Memfd.resize(fd, PAGE);
            long last = mapping.segment().address() + PAGE - 4;

            assertThat(remote.read(SELF, last, buffer, 0, 4)).isZero();
            assertThat(remote.read(SELF, last, buffer, 0, 5)).isEqualTo(-Errno.EFAULT);
            assertThat(remote.write(SELF, last, buffer, 0, 5)).isEqualTo(-Errno.EFAULT);
        }
        assertThat(remote.read(SELF, 0, buffer, 0, 1)).isEqualTo(-Errno.EFAULT);
        assertThat(remote.read(SELF, -8, buffer, 0, 8)).isEqualTo(-Errno.EFAULT);
    }

    @Test
    void aStringIsReadUpToItsEndAndNotIntoThePageBehind() throws Exception {
        try (Fd fd = Memfd.create("one page", 2 * PAGE);
                Mapping mapping = Mapping.map(fd, 0, 2 * PAGE, true)) {
            mapping.segment().setString(PAGE - 4, "abc");
            Memfd.resize(fd, PAGE);
            long text = mapping.segment().address() + PAGE - 4;
            MemorySegment to = buffer.asSlice(0, 64);

            assertThat(remote.readString(SELF, text, to)).isEqualTo(3);
            assertThat(to.getString(0)).isEqualTo("abc");
            mapping.segment().set(JAVA_BYTE, PAGE - 1, (byte) 'd');
            assertThat(remote.readString(SELF, text, to)).isEqualTo(-Errno.EFAULT);
            assertThat(remote.readString(SELF, text, to.asSlice(0, 3)))
                    .isEqualTo(-Errno.ENAMETOOLONG);
        }
    }

    @Test
    void aProcessThatIsGoneIsEsrch() throws Exception {
        Process gone = new ProcessBuilder("true").start();
        int number = (int) gone.pid();
        gone.waitFor();

        assertThat(remote.read(number, buffer.address(), buffer, 0, 1)).isEqualTo(-Errno.ESRCH);
    }
}
