// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import static org.assertj.core.api.Assertions.assertThat;

import org.ioasis.spec.VfioUser;
import org.ioasis.sys.UnixSocket;
import org.junit.jupiter.api.Test;

/** The bytes between us and a device server when the session ends under them. */
class DeviceStreamTest {
    @Test
    void whatWaitsWhenAStreamIsClosedIsNeverSent() throws Exception {
        UnixSocket[] pair = UnixSocket.pair();
        DeviceStream stream = new DeviceStream(pair[0]);
        assertThat(stream.hasRoom(VfioUser.HEADER_SIZE)).isTrue();
        stream.put(VfioUser.HEADER_SIZE);
        assertThat(stream.hasOutput()).isTrue();

        stream.close();
        stream.flush();
        assertThat(stream.hasOutput()).isFalse();
        assertThat(stream.calls()).isZero();
        pair[1].close();
    }
}
