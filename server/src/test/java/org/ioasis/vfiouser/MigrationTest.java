// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.spec.VfioUser.*;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.Random;
import java.util.concurrent.atomic.AtomicInteger;
import org.ioasis.sys.Errno;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** DEVICE_FEATURE and MIG_DATA: a device behind the proxy that moves with its VM. */
@Timeout(60)
class MigrationTest {
    private static final int GET = VFIO_DEVICE_FEATURE_GET;
    private static final int SET = VFIO_DEVICE_FEATURE_SET;
    private static final int PROBE = VFIO_DEVICE_FEATURE_PROBE;
    private static final int FLAGS = VFIO_DEVICE_FEATURE_MIGRATION;
    private static final int STATE = VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE;

    /** What a device server has that moves: a state, and data that is read or written. */
    private static final class Moving implements ScriptedDevice.Script {
        final AtomicInteger state = new AtomicInteger(VFIO_DEVICE_STATE_RUNNING);
        volatile byte[] data = new byte[0];
        volatile long flags = VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_PRE_COPY | 2;

        @Override
        public boolean handle(ScriptedDevice device, ScriptedDevice.Asked asked)
                throws IOException {
            ByteBuffer fields = asked.fields();
            switch (asked.command()) {
                case VFIO_USER_DEVICE_FEATURE -> {
                    int what = fields.getInt(FEATURE_FLAGS);
                    if (what == (FLAGS | GET)) {
                        device.answer(asked, new Payload(16).u32(16).u32(what).u64(flags).array());
                    } else if (what == (STATE | GET)) {
                        device.answer(
                                asked,
                                new Payload(16).u32(16).u32(what).u32(state.get()).u32(0).array());
                    } else if (fields.getInt(FEATURE_DATA) == VFIO_DEVICE_STATE_RESUMING
                            && state.get() == VFIO_DEVICE_STATE_STOP_COPY) {
                        device.error(asked, Errno.EINVAL);
                    } else {
                        state.set(fields.getInt(FEATURE_DATA));
                        device.answer(asked, asked.payload());
                    }
                }
                case VFIO_USER_MIG_DATA_READ -> {
                    int size = Math.min(fields.getInt(MIG_DATA_BYTES), data.length);
                    byte[] part = Arrays.copyOf(data, size);
                    data = Arrays.copyOfRange(data, size, data.length);
                    device.answer(
                            asked,
                            new Payload(8 + size).u32(8 + size).u32(size).bytes(part).array());
                }
                case VFIO_USER_MIG_DATA_WRITE -> {
                    byte[] both = Arrays.copyOf(data, data.length + asked.payload().length - 8);
                    System.arraycopy(
                            asked.payload(), 8, both, data.length, asked.payload().length - 8);
                    data = both;
                    device.answer(asked, new byte[0]);
                }
                default -> {
                    return false;
                }
            }
            return true;
        }
    }

    private static MockVfioUserClient.Reply feature(
            MockVfioUserClient client, int room, int flags, int... data) throws Exception {
        Payload payload = new Payload(8 + 4 * data.length).u32(room).u32(flags);
        for (int word : data) {
            payload.u32(word);
        }
        return client.call(VFIO_USER_DEVICE_FEATURE, payload.array());
    }

    private static MockVfioUserClient.Reply read(MockVfioUserClient client, int room, int size)
            throws Exception {
        return client.call(VFIO_USER_MIG_DATA_READ, new Payload(8).u32(room).u32(size).array());
    }

    private static MockVfioUserClient.Reply write(MockVfioUserClient client, int size, byte[] data)
            throws Exception {
        return client.call(
                VFIO_USER_MIG_DATA_WRITE,
                new Payload(8 + data.length).u32(8).u32(size).bytes(data).array());
    }

    private static ProxyFixture moving(Moving device) throws Exception {
        return new ProxyFixture(scripted -> scripted.script = device);
    }

    @Test
    void deviceThatCannotMoveRefusesAllOfIt() throws Exception {
        try (ServerFixture<RecordingFunction> fixture = ServerFixture.plain();
                MockVfioUserClient client = fixture.ready()) {
            assertThat(feature(client, 16, FLAGS | GET).error()).isEqualTo(Errno.ENOTSUP);
            assertThat(feature(client, 8, FLAGS | GET | PROBE).error()).isEqualTo(Errno.ENOTSUP);
            assertThat(feature(client, 16, STATE | SET, 1, 0).error()).isEqualTo(Errno.ENOTSUP);
            assertThat(read(client, 16, 8).error()).isEqualTo(Errno.ENOTSUP);
            assertThat(write(client, 1, new byte[1]).error()).isEqualTo(Errno.ENOTSUP);
        }
        Moving without = new Moving();
        without.flags = VFIO_MIGRATION_PRE_COPY;
        try (ProxyFixture fixture = moving(without);
                MockVfioUserClient client = fixture.ready()) {
            assertThat(feature(client, 16, FLAGS | GET).error()).isEqualTo(Errno.ENOTSUP);
        }
    }

    @Test
    void whatIsNoQuestionIsRefusedAndTheServerIsNotAsked() throws Exception {
        Moving device = new Moving();
        try (ProxyFixture fixture = moving(device);
                MockVfioUserClient client = fixture.ready()) {
            int before = fixture.device.asked(VFIO_USER_DEVICE_FEATURE).size();
            for (int size : new int[] {0, 7}) {
                for (int command :
                        new int[] {
                            VFIO_USER_DEVICE_FEATURE,
                            VFIO_USER_MIG_DATA_READ,
                            VFIO_USER_MIG_DATA_WRITE
                        }) {
                    assertThat(client.call(command, new byte[size]).error())
                            .isEqualTo(Errno.EINVAL);
                }
            }
            int[] wrong = {FLAGS, FLAGS | GET | SET, FLAGS | GET | 1 << 19, STATE | SET};
            for (int flags : wrong) {
                assertThat(feature(client, 16, flags).error()).isEqualTo(Errno.EINVAL);
            }
            assertThat(feature(client, 7, FLAGS | GET).error()).isEqualTo(Errno.EINVAL);
            assertThat(feature(client, 15, FLAGS | GET).error()).isEqualTo(Errno.EINVAL);
            assertThat(feature(client, 15, STATE | GET).error()).isEqualTo(Errno.EINVAL);
            assertThat(feature(client, 15, STATE | SET, 1, 0).error()).isEqualTo(Errno.EINVAL);
            assertThat(feature(client, 16, FLAGS | SET, 1, 0).error()).isEqualTo(Errno.ENOTSUP);
            for (int state : new int[] {0, 5, 7, 8, -1}) {
                assertThat(feature(client, 16, STATE | SET, state, 0).error())
                        .as("state %d", state)
                        .isEqualTo(Errno.EINVAL);
            }
            assertThat(read(client, 4096, 0).error()).isEqualTo(Errno.EINVAL);
            assertThat(read(client, 8192, Codec.DATA_MAX + 1).error()).isEqualTo(Errno.EINVAL);
            assertThat(read(client, 15, 8).error()).isEqualTo(Errno.EINVAL);
            assertThat(write(client, 0, new byte[0]).error()).isEqualTo(Errno.EINVAL);
            assertThat(write(client, 2, new byte[1]).error()).isEqualTo(Errno.EINVAL);
            assertThat(write(client, 1, new byte[2]).error()).isEqualTo(Errno.EINVAL);
            assertThat(fixture.device.asked(VFIO_USER_DEVICE_FEATURE)).hasSize(before);
            assertThat(fixture.device.asked(VFIO_USER_MIG_DATA_READ)).isEmpty();
            assertThat(fixture.device.asked(VFIO_USER_MIG_DATA_WRITE)).isEmpty();
        }
    }

    @Test
    void statesAndDataOfADeviceBehindTheProxyAreTheServers() throws Exception {
        Moving device = new Moving();
        try (ProxyFixture fixture = moving(device);
                MockVfioUserClient client = fixture.ready()) {
            assertThat(feature(client, 8, FLAGS | GET | PROBE).isError()).isFalse();
            assertThat(feature(client, 8, STATE | GET | SET | PROBE).isError()).isFalse();
            ByteBuffer flags = feature(client, 16, FLAGS | GET).fields();
            assertThat(flags.getInt(FEATURE_FLAGS)).isEqualTo(FLAGS | GET);
            assertThat(flags.getLong(FEATURE_DATA))
                    .isEqualTo(VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_PRE_COPY);
            assertThat(feature(client, 16, STATE | GET).fields().getInt(FEATURE_DATA))
                    .isEqualTo(VFIO_DEVICE_STATE_RUNNING);

            byte[] content = new byte[10_000];
            new Random(3).nextBytes(content);
            device.data = content.clone();
            assertThat(
                            feature(client, 16, STATE | SET, VFIO_DEVICE_STATE_STOP_COPY, 0)
                                    .fields()
                                    .getInt(FEATURE_DATA))
                    .isEqualTo(VFIO_DEVICE_STATE_STOP_COPY);
            ByteBuffer got = ByteBuffer.allocate(content.length);
            int last;
            do {
                ByteBuffer part = read(client, 8 + 4096, 4096).fields();
                last = part.getInt(MIG_DATA_BYTES);
                assertThat(part.getInt(MIG_DATA_ARGSZ)).isEqualTo(8 + last);
                byte[] bytes = new byte[last];
                part.get(MIG_DATA_DATA, bytes);
                got.put(bytes);
            } while (last == 4096);
            assertThat(got.array()).isEqualTo(content);
            assertThat(feature(client, 16, STATE | SET, VFIO_DEVICE_STATE_RESUMING, 0).error())
                    .as("the server's own refusal")
                    .isEqualTo(Errno.EINVAL);

            assertThat(feature(client, 16, STATE | SET, VFIO_DEVICE_STATE_STOP, 0).isError())
                    .isFalse();
            assertThat(feature(client, 16, STATE | SET, VFIO_DEVICE_STATE_RESUMING, 0).isError())
                    .isFalse();
            for (int at = 0; at < content.length; at += 4000) {
                byte[] part = Arrays.copyOfRange(content, at, Math.min(content.length, at + 4000));
                assertThat(write(client, part.length, part).isError()).isFalse();
            }
            assertThat(device.data).isEqualTo(content);
            assertThat(feature(client, 16, STATE | SET, VFIO_DEVICE_STATE_RUNNING, 0).isError())
                    .isFalse();
            assertThat(device.state.get()).isEqualTo(VFIO_DEVICE_STATE_RUNNING);
        }
    }

    private static byte[] dataReply(int size, int bytes) {
        return new Payload(8 + bytes).u32(8 + size).u32(size).bytes(new byte[bytes]).array();
    }

    private static byte[] stateReply(int flags, int state) {
        return new Payload(16).u32(16).u32(flags).u32(state).u32(0).array();
    }

    @Test
    void serverThatLiesOfItsStateOrDataLosesItsSession() throws Exception {
        lies(VFIO_USER_DEVICE_FEATURE, new byte[0], "another feature");
        lies(VFIO_USER_DEVICE_FEATURE, new byte[15], "another feature");
        lies(VFIO_USER_DEVICE_FEATURE, stateReply(FLAGS | GET, 1), "another feature");
        lies(VFIO_USER_MIG_DATA_READ, new byte[7], "that were asked for");
        lies(VFIO_USER_MIG_DATA_READ, dataReply(9, 9), "9 bytes of data of 8");
        lies(VFIO_USER_MIG_DATA_READ, dataReply(8, 7), "that were asked for");
        lies(VFIO_USER_MIG_DATA_READ, dataReply(-1, 8), "that were asked for");
    }

    private static void lies(int command, byte[] payload, String reason) throws Exception {
        Moving device = new Moving();
        try (ProxyFixture fixture = moving(device);
                MockVfioUserClient client = fixture.ready()) {
            fixture.device.script =
                    (self, asked) -> {
                        if (asked.command() != command) {
                            return false;
                        }
                        self.answer(asked, payload);
                        return true;
                    };
            MockVfioUserClient.Reply reply =
                    command == VFIO_USER_DEVICE_FEATURE
                            ? feature(client, 16, STATE | GET)
                            : read(client, 16, 8);
            assertThat(reply.error()).isEqualTo(Errno.EIO);
            client.awaitClose();
            fixture.awaitNoSession();
            assertThat(fixture.server.lastReason()).contains(reason);
        }
    }

    private static void hangsUpAtTheNextRead(ProxyFixture fixture, Moving device) {
        AtomicInteger left = new AtomicInteger(1);
        fixture.device.script =
                (self, asked) -> {
                    if (asked.command() == VFIO_USER_REGION_READ && left.getAndDecrement() > 0) {
                        self.hangUp();
                        return true;
                    }
                    return device.handle(self, asked);
                };
    }

    @Test
    void deviceThatComesAgainInTheMiddleOfAMoveIsLost() throws Exception {
        Moving device = new Moving();
        ProxySettings patient =
                new ProxySettings(Isolation.ENFORCED, ProxyFixture.ANSWER_MILLIS, 10_000);
        try (ProxyFixture fixture =
                new ProxyFixture(patient, scripted -> scripted.script = device)) {
            try (MockVfioUserClient client = fixture.ready()) {
                for (int state : new int[] {VFIO_DEVICE_STATE_STOP, VFIO_DEVICE_STATE_RUNNING}) {
                    assertThat(feature(client, 16, STATE | SET, state, 0).isError()).isFalse();
                }
                hangsUpAtTheNextRead(fixture, device);
                assertThat(client.read(0, 8, 4)).as("of one that runs").isZero();
                assertThat(fixture.function.returns()).isOne();

                assertThat(feature(client, 16, STATE | SET, VFIO_DEVICE_STATE_STOP, 0).isError())
                        .isFalse();
                assertThat(client.reset().isError()).isFalse();
                hangsUpAtTheNextRead(fixture, device);
                assertThat(client.read(0, 8, 4)).as("of one that a reset has started").isZero();
                assertThat(fixture.function.returns()).isEqualTo(2);

                assertThat(feature(client, 16, STATE | SET, VFIO_DEVICE_STATE_STOP, 0).isError())
                        .isFalse();
                hangsUpAtTheNextRead(fixture, device);
                assertThat(client.readRegion(0, 8, 4).error()).isEqualTo(Errno.EIO);
                client.awaitClose();
            }
            fixture.awaitNoSession();
            assertThat(fixture.server.lastReason()).contains("in the middle of a move");
            // For the next VMM it runs.
            try (MockVfioUserClient client = fixture.ready()) {
                hangsUpAtTheNextRead(fixture, device);
                assertThat(client.read(0, 8, 4)).isZero();
                assertThat(fixture.function.returns()).isEqualTo(3);
            }
        }
    }

    @Test
    void answerWithMoreBytesThanItSaysHasAsManyAsItSays() throws Exception {
        Moving device = new Moving();
        try (ProxyFixture fixture = moving(device);
                MockVfioUserClient client = fixture.ready()) {
            fixture.device.script =
                    (self, asked) -> {
                        if (asked.command() != VFIO_USER_MIG_DATA_READ) {
                            return false;
                        }
                        self.answer(asked, dataReply(3, 8));
                        return true;
                    };
            ByteBuffer part = read(client, 16, 8).fields();
            assertThat(part.getInt(MIG_DATA_BYTES)).isEqualTo(3);
            assertThat(part.remaining()).isEqualTo(MIG_DATA_DATA + 3);
        }
    }

    @Test
    void stateThatIsNoneIsAnErrorAndNoNumber() throws Exception {
        Moving device = new Moving();
        try (ProxyFixture fixture = moving(device);
                MockVfioUserClient client = fixture.ready()) {
            device.state.set(8);
            assertThat(feature(client, 16, STATE | GET).error()).isEqualTo(Errno.EIO);
            device.state.set(0);
            assertThat(feature(client, 16, STATE | GET).fields().getInt(FEATURE_DATA)).isZero();
        }
    }
}
