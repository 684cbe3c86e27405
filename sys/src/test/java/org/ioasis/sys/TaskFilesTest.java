// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

/** Which file is behind a descriptor of another task: by device and inode, not by name. */
class TaskFilesTest {
    private static final int SELF = (int) ProcessHandle.current().pid();
    private static final int S_IFMT = 0xf000;
    private static final int S_IFREG = 0x8000;
    private static final int S_IFCHR = 0x2000;

    private final TaskFiles files = new TaskFiles();

    @Test
    void copiesOfADescriptorAreTheSameFileAndAnotherOfTheSameNameIsNot() throws Exception {
        try (Fd one = Memfd.create("name", 1);
                Fd copy = one.duplicate();
                Fd reopened = FileBytes.reopen(one, FileBytes.O_RDWR);
                Fd other = Memfd.create("name", 1)) {
            assertThat(files.look(SELF, one.number())).isZero();
            long device = files.device();
            long inode = files.inode();
            assertThat(files.mode() & S_IFMT).isEqualTo(S_IFREG);
            for (Fd same : new Fd[] {copy, reopened}) {
                assertThat(files.look(SELF, same.number())).isZero();
                assertThat(files.device()).isEqualTo(device);
                assertThat(files.inode()).isEqualTo(inode);
            }
            files.look(other);
            assertThat(files.device()).isEqualTo(device);
            assertThat(files.inode()).isNotEqualTo(inode);
        }
    }

    @Test
    void aDeviceNodeIsToldByItsNumbers() throws Exception {
        try (Fd zero = FileBytes.open("/dev/zero", FileBytes.O_RDONLY)) {
            files.look(zero);
            assertThat(files.mode() & S_IFMT).isEqualTo(S_IFCHR);
            assertThat(files.node()).isEqualTo(1L << 32 | 5);
        }
    }

    @Test
    void whatIsNotOpenIsNotThere() throws Exception {
        Fd file = Memfd.create("closed", 1);
        int number = file.number();
        assertThat(files.has(SELF, number)).isTrue();
        file.close();

        assertThat(files.has(SELF, 1 << 20)).isFalse();
        assertThat(files.look(SELF, 1 << 20)).isEqualTo(-Errno.ENOENT);
        assertThat(files.look(-1, 0)).isEqualTo(-Errno.ENOENT);
        assertThat(files.look(SELF, -1)).isEqualTo(-Errno.ENOENT);
        assertThat(files.has(Integer.MAX_VALUE, 0)).isFalse();
    }
}
