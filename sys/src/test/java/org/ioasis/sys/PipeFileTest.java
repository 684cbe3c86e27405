// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

/** A pipe that shows what poll(2) is to see: always writable, readable when it is said so. */
class PipeFileTest {
    @Test
    void itIsReadableAsLongAsItIsSaidToBe() throws Exception {
        try (Fd pipe = PipeFile.create();
                Epoll epoll = Epoll.create()) {
            epoll.add(pipe.number(), Epoll.IN | Epoll.OUT, 7);

            assertThat(shown(epoll)).isEqualTo(Epoll.OUT);
            PipeFile.fill(pipe, true);
            assertThat(shown(epoll)).isEqualTo(Epoll.IN | Epoll.OUT);
            PipeFile.fill(pipe, true);
            PipeFile.fill(pipe, false);
            assertThat(shown(epoll)).isEqualTo(Epoll.OUT);
            PipeFile.fill(pipe, false);
            assertThat(shown(epoll)).isEqualTo(Epoll.OUT);
        }
    }

    @Test
    void anotherOpenOfItSeesTheSame() throws Exception {
        try (Fd pipe = PipeFile.create();
                Fd given = FileBytes.reopen(pipe, FileBytes.O_RDWR | FileBytes.O_NONBLOCK);
                Epoll epoll = Epoll.create()) {
            epoll.add(given.number(), Epoll.IN | Epoll.OUT, 7);
            PipeFile.fill(pipe, true);
            assertThat(shown(epoll)).isEqualTo(Epoll.IN | Epoll.OUT);
            PipeFile.fill(pipe, false);
            assertThat(shown(epoll)).isEqualTo(Epoll.OUT);
        }
    }

    private static int shown(Epoll epoll) {
        assertThat(epoll.await(0)).isEqualTo(1);
        return epoll.events(0);
    }
}
