// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vhostuser;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import org.ioasis.spec.VhostUser;
import org.ioasis.sys.Errno;
import org.ioasis.sys.Fd;
import org.ioasis.sys.UnixSocket;
import org.junit.jupiter.api.Test;

/** The socket on which a front end is told of changes, and what it may do to it. */
class BackendChannelTest {
    private static BackendChannel channel(UnixSocket socket) throws Exception {
        // The socket owns its descriptor: this is only its number.
        return new BackendChannel(Fd.own(socket.fd()).duplicate());
    }

    @Test
    void changeIsToldInOneMessage() throws Exception {
        UnixSocket[] pair = UnixSocket.pair();
        BackendChannel channel = channel(pair[0]);
        channel.configChanged();

        MemorySegment told = Arena.ofAuto().allocate(64);
        List<Fd> fds = new ArrayList<>();
        assertThat(pair[1].receive(told, 0, 64, fds)).isEqualTo(VhostUser.HEADER_SIZE);
        assertThat(Codec.header(told).request()).isEqualTo(VhostUser.BACKEND_CONFIG_CHANGE_MSG);
        assertThat(pair[1].receive(told, 0, 64, fds)).isEqualTo(-Errno.EAGAIN);
        assertThat(fds).isEmpty();
        channel.close();
        pair[0].close();
        pair[1].close();
    }

    @Test
    void frontEndThatHasClosedItsEndIsToldNothingHoweverOftenSomethingChanges() throws Exception {
        UnixSocket[] pair = UnixSocket.pair();
        BackendChannel channel = channel(pair[0]);
        pair[1].close();
        for (int i = 0; i < 3; i++) {
            channel.configChanged();
        }
        channel.close();
        channel.configChanged();
        // Nothing of it has come or gone.
        assertThat(pair[0].receive(Arena.ofAuto().allocate(1), 0, 1, new ArrayList<>())).isZero();
        pair[0].close();
    }
}
