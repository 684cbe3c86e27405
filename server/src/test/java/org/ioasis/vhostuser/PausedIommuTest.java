// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vhostuser;

import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.spec.VhostUser.F_PROTOCOL_FEATURES;
import static org.ioasis.spec.VhostUser.RESET_DEVICE;
import static org.ioasis.spec.VhostUser.SET_FEATURES;
import static org.ioasis.spec.VhostUser.SET_STATUS;
import static org.ioasis.spec.VhostUser.SET_VRING_ENABLE;
import static org.ioasis.spec.VirtioIommu.CONFIG_BYPASS;
import static org.ioasis.spec.VirtioIommu.S_OK;
import static org.ioasis.vhostuser.IommuDriver.*;

import java.nio.file.Path;
import org.ioasis.memory.Outcome;
import org.ioasis.peer.ServerWait;
import org.ioasis.virtqueue.RingFormat;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** An IOMMU whose guest is paused, or begins anew, between one session and the next. */
@Timeout(60)
class PausedIommuTest {
    private static final int SIZE = FrontEnd.RING_SIZE;

    @TempDir Path folder;

    private static void endSession(IommuBackEnd backEnd) throws Exception {
        backEnd.run(() -> backEnd.server.endSession("for a test"));
        ServerWait.until(backEnd.server, backEnd.loop, () -> !backEnd.server.hasSession());
    }

    @Test
    void aGuestThatIsPausedWhereRingsBeginGoesOn() throws Exception {
        Path socket = folder.resolve("d.sock");
        long features = features(RingFormat.PACKED);
        try (IommuBackEnd backEnd = new IommuBackEnd(socket);
                FrontEnd guest = ready(socket, RingFormat.PACKED)) {
            FrontEnd.Log log = guest.askForLog(2, SIZE);
            begin(guest, RingFormat.PACKED, log);
            assertThat(ask(guest, attach(1, 7))).isEqualTo(S_OK);
            for (int i = 1; i < SIZE; i++) {
                assertThat(ask(guest, map(7, 0x1000L * i, 0x1000L * i + 0xfff, 0))).isEqualTo(S_OK);
            }
            String mapped = backEnd.state();
            int[] bases = guest.stop();
            assertThat(bases).containsOnly(start(RingFormat.PACKED));
            endSession(backEnd);
            try (FrontEnd again = again(socket, guest)) {
                begin(again, RingFormat.PACKED, log);
                assertThat(backEnd.state()).isEqualTo(mapped);
                // The same for one that has said nothing but what bypass is.
                again.send(RESET_DEVICE, new byte[0]);
                again.newRing(0, RingFormat.PACKED);
                again.newRing(1, RingFormat.PACKED);
                again.start(features, bases);
                again.settle();
                backEnd.run(() -> backEnd.device.device().writeConfig(CONFIG_BYPASS, 1, 0));
                int[] _ = again.stop();
                endSession(backEnd);
                try (FrontEnd last = again(socket, guest)) {
                    begin(last, RingFormat.PACKED, log);
                    assertThat(backEnd.state()).isEmpty();
                    assertThat(backEnd.reach(0)).isNotEqualTo(Outcome.OK);
                }
            }
            log.fd().close();
        }
    }

    @ParameterizedTest
    @EnumSource(RingFormat.class)
    void aDriverThatBeginsAnewAfterAPauseFindsNothingOfTheOneBefore(RingFormat format)
            throws Exception {
        Path socket = folder.resolve("d.sock");
        try (IommuBackEnd backEnd = new IommuBackEnd(socket);
                FrontEnd guest = ready(socket, format)) {
            FrontEnd.Log log = guest.askForLog(2, SIZE);
            begin(guest, format, log);
            assertThat(ask(guest, attach(1, 7))).isEqualTo(S_OK);
            int[] bases = guest.stop();
            endSession(backEnd);
            // Nobody has told of it. Another one has been reset to where nobody has been.
            int[] elsewhere = {bases[0] + 1, bases[1]};
            try (FrontEnd restored = again(socket, guest)) {
                restored.log(log);
                restored.start(features(format), elsewhere);
                restored.settle();
                assertThat(backEnd.state()).startsWith(VhostUserDevice.STATE_LOST);
            }
            ServerWait.until(backEnd.server, backEnd.loop, () -> !backEnd.server.hasSession());
            FrontEnd.Log other = log;
            try (FrontEnd anew = again(socket, guest)) {
                other = anew.askForLog(2, SIZE);
                anew.newRing(0, format);
                anew.newRing(1, format);
                begin(anew, format, other);
                assertThat(ask(anew, attach(2, 8))).isEqualTo(S_OK);
                int[] _ = anew.stop();
            }
            ServerWait.until(backEnd.server, backEnd.loop, () -> !backEnd.server.hasSession());
            try (FrontEnd anew = again(socket, guest)) {
                anew.newRing(0, format);
                anew.newRing(1, format);
                begin(anew, format, other);
                assertThat(backEnd.state()).isEmpty();
                assertThat(ask(anew, attach(1, 3))).isEqualTo(S_OK);
                assertThat(backEnd.state()).isEqualTo("3[1]; ");
            }
            log.fd().close();
            other.fd().close();
        }
    }

    @Test
    void aResetLeavesNoStateForRingsThatGoOn() throws Exception {
        Path socket = folder.resolve("d.sock");
        RingFormat format = RingFormat.SPLIT;
        try (IommuBackEnd backEnd = new IommuBackEnd(socket);
                FrontEnd guest = ready(socket, format)) {
            FrontEnd.Log log = guest.askForLog(2, SIZE);
            begin(guest, format, log);
            assertThat(ask(guest, attach(1, 7))).isEqualTo(S_OK);
            int[] bases = guest.stop();
            guest.number(SET_STATUS, 0);
            guest.start(features(format), bases);
            guest.settle();
            assertThat(backEnd.state()).startsWith(VhostUserDevice.STATE_LOST);
            log.fd().close();
        }
    }

    @ParameterizedTest
    @EnumSource(RingFormat.class)
    void theStateIsFoundWhicheverRingIsEnabledFirst(RingFormat format) throws Exception {
        Path socket = folder.resolve("d.sock");
        try (IommuBackEnd backEnd = new IommuBackEnd(socket);
                FrontEnd guest = ready(socket, format)) {
            FrontEnd.Log log = guest.askForLog(1, SIZE);
            begin(guest, format, log);
            assertThat(ask(guest, attach(1, 7))).isEqualTo(S_OK);
            endSession(backEnd);
            try (FrontEnd again = again(socket, guest)) {
                again.number(SET_FEATURES, features(format) | F_PROTOCOL_FEATURES);
                again.log(log);
                again.memory();
                for (int ring = 1; ring >= 0; ring--) {
                    again.setUp(ring, start(format));
                    again.ring(SET_VRING_ENABLE, ring, 1);
                }
                assertThat(ask(again, map(7, 0x1000, 0x1fff, 0x5000))).isEqualTo(S_OK);
                assertThat(backEnd.state()).isEqualTo("7[1] 1000-1fff>5000; ");
            }
            log.fd().close();
        }
    }
}
