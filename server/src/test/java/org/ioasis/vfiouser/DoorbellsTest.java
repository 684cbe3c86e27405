// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.ioasis.spec.VfioUser.*;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.atomic.AtomicReference;
import org.ioasis.loop.IdlePolicy;
import org.ioasis.memory.DirectDma;
import org.ioasis.pci.EchoType;
import org.ioasis.pci.VirtioPciFunction;
import org.ioasis.peer.MessageStream;
import org.ioasis.peer.UnreadDescriptors;
import org.ioasis.spec.Pci;
import org.ioasis.spec.Virtio;
import org.ioasis.sys.Errno;
import org.ioasis.sys.EventFd;
import org.ioasis.sys.Fd;
import org.ioasis.sys.Memfd;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** GET_REGION_IO_FDS: signals in place of writes, ours and those of a device behind the proxy. */
@Timeout(60)
class DoorbellsTest {
    private static final int ENOUGH = IO_FDS_SIZE + 2 * IO_FD_SIZE;

    private static MockVfioUserClient.Reply ask(
            MockVfioUserClient client, int room, int flags, int index, int count) throws Exception {
        return client.call(
                VFIO_USER_DEVICE_GET_REGION_IO_FDS,
                new Payload(16).u32(room).u32(flags).u32(index).u32(count).array());
    }

    // Wrong first.

    @Test
    void whatIsNoQuestionIsRefusedAndTheSessionGoesOn() throws Exception {
        try (ServerFixture<RecordingFunction> fixture = ServerFixture.plain();
                MockVfioUserClient client = fixture.ready();
                Fd fd = Memfd.create("unwanted", 1)) {
            for (int size : new int[] {0, 4, 15}) {
                assertThat(client.call(VFIO_USER_DEVICE_GET_REGION_IO_FDS, new byte[size]).error())
                        .as("%d bytes", size)
                        .isEqualTo(Errno.EINVAL);
            }
            assertThat(ask(client, 15, 0, 0, 0).error()).isEqualTo(Errno.EINVAL);
            assertThat(ask(client, ENOUGH, 1, 0, 0).error()).isEqualTo(Errno.EINVAL);
            assertThat(ask(client, ENOUGH, 0, 0, 1).error()).isEqualTo(Errno.EINVAL);
            assertThat(ask(client, ENOUGH, 0, 9, 0).error()).isEqualTo(Errno.EINVAL);
            assertThat(ask(client, ENOUGH, 0, -1, 0).error()).isEqualTo(Errno.EINVAL);
            byte[] right = new Payload(16).u32(ENOUGH).u32(0).u32(0).u32(0).array();
            assertThat(client.call(VFIO_USER_DEVICE_GET_REGION_IO_FDS, right, fd).error())
                    .isEqualTo(Errno.EINVAL);
            assertThat(fixture.server.hasSession()).isTrue();
            assertThat(fixture.function.rung).isEmpty();
        }
    }

    @Test
    void answerThatHasNoRoomSaysHowMuchItNeedsAndARegionWithoutDoorbellsHasNone() throws Exception {
        try (ServerFixture<RecordingFunction> fixture = ServerFixture.plain();
                MockVfioUserClient client = fixture.ready()) {
            ByteBuffer small = ask(client, ENOUGH - 1, 0, 0, 0).fields();
            assertThat(small.remaining()).isEqualTo(IO_FDS_SIZE);
            assertThat(small.getInt(IO_FDS_ARGSZ)).isEqualTo(ENOUGH);
            assertThat(small.getInt(IO_FDS_COUNT)).isEqualTo(2);
            ByteBuffer none = ask(client, ENOUGH, 0, VFIO_PCI_CONFIG_REGION_INDEX, 0).fields();
            assertThat(none.getInt(IO_FDS_ARGSZ)).isEqualTo(IO_FDS_SIZE);
            assertThat(none.getInt(IO_FDS_COUNT)).isZero();
        }
    }

    // As it should be.

    private static List<EventFd> taken(MockVfioUserClient.WithFds answer) throws Exception {
        List<EventFd> all = new ArrayList<>();
        for (Fd fd : answer.fds()) {
            all.add(EventFd.of(fd));
        }
        return all;
    }

    @Test
    void signalIsAWriteOfTheDoorbellThatItStandsFor() throws Exception {
        Resources before = Resources.now();
        try (ServerFixture<RecordingFunction> fixture = ServerFixture.plain();
                MockVfioUserClient client = fixture.ready()) {
            MockVfioUserClient.WithFds answer = client.ioFds(0, ENOUGH);
            ByteBuffer fields = answer.reply().fields();
            assertThat(fields.getInt(IO_FDS_ARGSZ)).isEqualTo(ENOUGH);
            assertThat(fields.getInt(IO_FDS_INDEX)).isZero();
            assertThat(fields.getInt(IO_FDS_COUNT)).isEqualTo(2);
            int second = IO_FDS_SIZE + IO_FD_SIZE;
            assertThat(fields.getLong(second + IO_FD_OFFSET)).isEqualTo(0x20);
            assertThat(fields.getLong(second + IO_FD_BYTES)).isEqualTo(2);
            assertThat(fields.getInt(second + IO_FD_FD_INDEX)).isOne();
            assertThat(fields.getInt(second + IO_FD_TYPE))
                    .isEqualTo(VFIO_USER_IO_FD_TYPE_IOEVENTFD);
            assertThat(fields.getInt(second + IO_FD_FLAGS)).isEqualTo(KVM_IOEVENTFD_FLAG_DATAMATCH);
            assertThat(fields.getLong(second + IO_FD_DATAMATCH)).isOne();
            List<EventFd> bells = taken(answer);
            assertThat(bells).hasSize(2);
            bells.get(1).signal();
            fixture.await(() -> fixture.function.rung.size() == 1);
            bells.get(0).signal();
            fixture.await(() -> fixture.function.rung.size() == 2);
            assertThat(fixture.function.rung).containsExactly(1, 0);

            // The same ones again, however often they are asked for.
            List<EventFd> again = taken(client.ioFds(0, ENOUGH));
            assertThat(bells.get(0).drain()).isOne();
            again.get(0).signal();
            // Only then: a signal that is taken back before the loop has looked was none.
            fixture.await(() -> fixture.function.rung.size() == 3);
            assertThat(bells.get(0).drain()).isOne();
            bells.forEach(EventFd::close);
            again.forEach(EventFd::close);
        }
        assertThat(Resources.now()).isEqualTo(before);
    }

    @Test
    void clientMayLeaveSoManyAnswersWithDescriptorsUnreadAndNotOneMore() throws Exception {
        byte[] asked = new Payload(16).u32(ENOUGH).u32(0).u32(0).u32(0).array();
        Resources before = Resources.now();
        try (ServerFixture<RecordingFunction> fixture = ServerFixture.plain();
                MockVfioUserClient client = fixture.ready()) {
            for (int round = 0; round < 3; round++) {
                for (int i = 0; i < MessageStream.UNREAD_WITH_FDS_MAX; i++) {
                    int _ = client.send(VFIO_USER_DEVICE_GET_REGION_IO_FDS, 0, asked);
                }
                long all = 1 + (round + 1L) * MessageStream.UNREAD_WITH_FDS_MAX;
                fixture.await(() -> fixture.server.info().messages() == all);
                assertThat(fixture.server.hasSession()).isTrue();
                if (round == 2) {
                    break;
                }
                for (int i = 0; i < MessageStream.UNREAD_WITH_FDS_MAX; i++) {
                    MockVfioUserClient.WithFds answer = client.receiveWithFds();
                    assertThat(answer.fds()).hasSize(2);
                    answer.fds().forEach(Fd::close);
                }
            }
            int _ = client.send(VFIO_USER_DEVICE_GET_REGION_IO_FDS, 0, asked);
            fixture.awaitNoSession();
            assertThat(fixture.server.lastReason()).isEqualTo("client does not read its replies");
            assertThat(UnreadDescriptors.ALL.count())
                    .isEqualTo(2 * MessageStream.UNREAD_WITH_FDS_MAX);
        }
        assertThat(UnreadDescriptors.ALL.count()).isZero();
        assertThat(Resources.now()).isEqualTo(before);
    }

    @Test
    void clientsThatComeAgainAndKeepWhatTheyHaveNotReadGetSoManyDescriptorsAndNoMore()
            throws Exception {
        byte[] asked = new Payload(16).u32(ENOUGH).u32(0).u32(0).u32(0).array();
        int each = 2 * MessageStream.UNREAD_WITH_FDS_MAX;
        Resources before = Resources.now();
        try (ServerFixture<RecordingFunction> fixture = ServerFixture.plain()) {
            List<MockVfioUserClient> gone = new ArrayList<>();
            for (int kept = 0; kept < UnreadDescriptors.MAX; kept += each) {
                assertThat(UnreadDescriptors.ALL.haveRoom()).isTrue();
                MockVfioUserClient client = fixture.ready();
                gone.add(client);
                for (int i = 0; i <= MessageStream.UNREAD_WITH_FDS_MAX; i++) {
                    int _ = client.send(VFIO_USER_DEVICE_GET_REGION_IO_FDS, 0, asked);
                }
                fixture.awaitNoSession();
                assertThat(UnreadDescriptors.ALL.count()).isEqualTo(kept + each);
            }
            try (MockVfioUserClient client = fixture.ready()) {
                for (int i = 0; i < 2 * MessageStream.UNREAD_WITH_FDS_MAX; i++) {
                    MockVfioUserClient.WithFds none = client.ioFds(0, ENOUGH);
                    assertThat(none.fds()).isEmpty();
                    assertThat(none.reply().fields().getInt(IO_FDS_COUNT)).isZero();
                }
                gone.removeFirst().close();
                MockVfioUserClient.WithFds some = client.ioFds(0, ENOUGH);
                assertThat(some.fds()).hasSize(2);
                some.fds().forEach(Fd::close);
            }
            gone.forEach(MockVfioUserClient::close);
            fixture.awaitNoSession();
        }
        assertThat(UnreadDescriptors.ALL.count()).isZero();
        assertThat(Resources.now()).isEqualTo(before);
    }

    private static int given(String capabilities) throws Exception {
        try (ServerFixture<RecordingFunction> fixture = ServerFixture.plain();
                MockVfioUserClient client = MockVfioUserClient.connect(fixture.server.path())) {
            String data = "{\"capabilities\":{%s}}\0".formatted(capabilities);
            byte[] version = MockVfioUserClient.versionPayload(0, 0, data);
            assertThat(client.call(VFIO_USER_VERSION, version).isError()).isFalse();
            MockVfioUserClient.WithFds answer = client.ioFds(0, ENOUGH);
            answer.fds().forEach(Fd::close);
            assertThat(answer.fds()).hasSize(answer.reply().fields().getInt(IO_FDS_COUNT));
            return answer.fds().size();
        }
    }

    @Test
    void clientIsGivenNoMoreDescriptorsThanItTakesWithAMessage() throws Exception {
        assertThat(given("\"max_msg_fds\":0")).isZero();
        assertThat(given("\"max_msg_fds\":1")).isOne();
        assertThat(given("\"max_msg_fds\":2")).isEqualTo(2);
        assertThat(given("\"max_msg_fds\":9223372036854775807")).isEqualTo(2);
        assertThat(given("")).as("one that says nothing of that").isOne();
    }

    @Test
    void nobodyIsHeardWhenTheSessionHasEnded() throws Exception {
        try (ServerFixture<RecordingFunction> fixture = ServerFixture.plain()) {
            List<EventFd> bells;
            try (MockVfioUserClient client = fixture.ready()) {
                bells = taken(client.ioFds(0, ENOUGH));
            }
            fixture.awaitNoSession();
            bells.forEach(EventFd::signal);
            try (MockVfioUserClient next = fixture.ready()) {
                List<EventFd> theirs = taken(next.ioFds(0, ENOUGH));
                theirs.get(1).signal();
                fixture.await(() -> !fixture.function.rung.isEmpty());
                theirs.forEach(EventFd::close);
            }
            bells.forEach(EventFd::close);
            assertThat(fixture.function.rung).containsExactly(1);
        }
    }

    @Test
    void doorbellOfAVirtioDeviceIsAKickOfItsQueue() throws Exception {
        try (ServerFixture<VirtioPciFunction> fixture =
                        new ServerFixture<>(
                                ServerFixture.LIMITS,
                                IdlePolicy.EVENT_DRIVEN,
                                of ->
                                        new VirtioPciFunction(
                                                new EchoType(),
                                                new DirectDma(of.memory(), of.guards().open()),
                                                Virtio.F_VERSION_1,
                                                Pci.CLASS_SYSTEM_IOMMU));
                MockVfioUserClient client = fixture.ready()) {
            MockVfioUserClient.WithFds answer = client.ioFds(2, ENOUGH);
            ByteBuffer fields = answer.reply().fields();
            assertThat(fields.getLong(IO_FDS_SIZE + IO_FD_OFFSET)).isEqualTo(0x3000);
            assertThat(fields.getLong(IO_FDS_SIZE + IO_FD_SIZE + IO_FD_OFFSET)).isEqualTo(0x3004);
            List<EventFd> bells = taken(answer);
            bells.get(1).signal();
            fixture.await(() -> fixture.function.kicks() == 1);
            bells.forEach(EventFd::close);
        }
    }

    // Behind the proxy.

    private static byte[] ioFd(long offset, long size, int type, int flags, long value) {
        return new Payload(IO_FD_SIZE)
                .u64(offset)
                .u64(size)
                .u32(0)
                .u32(type)
                .u32(flags)
                .u32(0)
                .u64(value)
                .array();
    }

    /**
     * Answers the question for region 0 with these entries, whatever it says of their number once
     * there is room for them.
     */
    private static void answers(ScriptedDevice device, int count, byte[]... entries) {
        device.script =
                (self, asked) -> {
                    if (asked.command() != VFIO_USER_DEVICE_GET_REGION_IO_FDS) {
                        return false;
                    }
                    int length = IO_FDS_SIZE + entries.length * IO_FD_SIZE;
                    if (asked.fields().getInt(IO_FDS_ARGSZ) < length) {
                        Payload needed = new Payload(IO_FDS_SIZE).u32(length).u32(0).u32(0);
                        self.answer(asked, needed.u32(entries.length).array());
                        return true;
                    }
                    Payload reply = new Payload(length).u32(length).u32(0).u32(0).u32(count);
                    for (byte[] entry : entries) {
                        reply.bytes(entry);
                    }
                    self.answer(asked, reply.array());
                    return true;
                };
    }

    @Test
    void serverThatLiesOfItsDoorbellsIsNotServed() {
        byte[] one = ioFd(0x10, 4, 0, KVM_IOEVENTFD_FLAG_DATAMATCH, 3);
        for (int count : new int[] {2, -1, Integer.MAX_VALUE}) {
            assertThatThrownBy(
                            () -> new ProxyFixture(device -> answers(device, count, one)).close())
                    .hasMessageContaining("doorbells in 56 bytes");
        }
        long[] offsets = {ScriptedDevice.BAR_BYTES - 3, ScriptedDevice.BAR_BYTES, -1, -4};
        for (long offset : offsets) {
            byte[] outside = ioFd(offset, 4, 0, KVM_IOEVENTFD_FLAG_DATAMATCH, 3);
            assertThatThrownBy(
                            () -> new ProxyFixture(device -> answers(device, 1, outside)).close())
                    .hasMessageContaining("a doorbell at");
        }
    }

    /** As others do it: each with a descriptor, however many the client takes. */
    private static void sends(ScriptedDevice device, int count) {
        device.script =
                (self, asked) -> {
                    if (asked.command() != VFIO_USER_DEVICE_GET_REGION_IO_FDS) {
                        return false;
                    }
                    int length = IO_FDS_SIZE + count * IO_FD_SIZE;
                    boolean hasRoom = asked.fields().getInt(IO_FDS_ARGSZ) >= length;
                    Payload reply = new Payload(hasRoom ? length : IO_FDS_SIZE);
                    reply.u32(length).u32(0).u32(0).u32(count);
                    for (int i = 0; hasRoom && i < count; i++) {
                        reply.bytes(ioFd(4L * i, 4, 0, KVM_IOEVENTFD_FLAG_DATAMATCH, i));
                    }
                    try (Fd fd = Memfd.create("doorbell", 1)) {
                        Fd[] fds = new Fd[hasRoom ? count : 0];
                        Arrays.fill(fds, fd);
                        self.sendBytes(
                                ScriptedDevice.message(asked, FLAGS_TYPE_REPLY, 0, reply.array()),
                                fds);
                    }
                    return true;
                };
    }

    @Test
    void serverWithMoreDoorbellsThanGoWithAMessageIsServedWithoutThem() throws Exception {
        int room = IO_FDS_SIZE + Codec.FDS_MAX * IO_FD_SIZE;
        for (int count : new int[] {Codec.FDS_MAX, Codec.FDS_MAX + 1}) {
            try (ProxyFixture fixture = new ProxyFixture(device -> sends(device, count));
                    MockVfioUserClient client = fixture.ready()) {
                MockVfioUserClient.WithFds answer = client.ioFds(0, room);
                int passed = count > Codec.FDS_MAX ? 0 : count;
                assertThat(answer.reply().fields().getInt(IO_FDS_COUNT)).isEqualTo(passed);
                assertThat(answer.fds()).hasSize(passed);
                answer.fds().forEach(Fd::close);
                assertThat(client.read(0, 0, 4)).isZero();
            }
        }
    }

    @Test
    void doorbellsThatDoNotSayWhatIsWrittenAreNotPassedOn() throws Exception {
        byte[][] entries = {
            ioFd(0x10, 4, 0, 0, 3),
            ioFd(0x10, 0, 0, KVM_IOEVENTFD_FLAG_DATAMATCH, 3),
            ioFd(0x10, 3, 0, KVM_IOEVENTFD_FLAG_DATAMATCH, 3),
            ioFd(0x10, 4, 1, KVM_IOEVENTFD_FLAG_DATAMATCH, 3),
            ioFd(0x10, 4, 0, 3, 3),
            ioFd(0x18, 8, 0, KVM_IOEVENTFD_FLAG_DATAMATCH, 4)
        };
        try (ProxyFixture fixture =
                        new ProxyFixture(device -> answers(device, entries.length, entries));
                MockVfioUserClient client = fixture.ready()) {
            MockVfioUserClient.WithFds answer = client.ioFds(0, ENOUGH);
            assertThat(answer.reply().fields().getInt(IO_FDS_COUNT)).isOne();
            assertThat(answer.reply().fields().getLong(IO_FDS_SIZE + IO_FD_OFFSET)).isEqualTo(0x18);
            answer.fds().forEach(Fd::close);
        }
    }

    @Test
    void signalReachesTheDeviceAsAWriteAndSignalsInBetweenAsOneMore() throws Exception {
        byte[] one = ioFd(0x10, 4, 0, KVM_IOEVENTFD_FLAG_DATAMATCH, 0x1234);
        try (ProxyFixture fixture = new ProxyFixture(device -> answers(device, 1, one));
                MockVfioUserClient client = fixture.ready()) {
            List<EventFd> bells = taken(client.ioFds(0, ENOUGH));
            AtomicReference<ScriptedDevice.Asked> kept = new AtomicReference<>();
            fixture.device.script =
                    (self, asked) -> {
                        boolean isFirst =
                                asked.command() == VFIO_USER_REGION_WRITE && kept.get() == null;
                        if (isFirst) {
                            kept.set(asked);
                        }
                        return isFirst;
                    };
            bells.getFirst().signal();
            fixture.await(() -> kept.get() != null);
            ScriptedDevice.Asked first = kept.get();
            assertThat(first.fields().getLong(REGION_ACCESS_OFFSET)).isEqualTo(0x10);
            assertThat(first.fields().getInt(REGION_ACCESS_REGION)).isZero();
            assertThat(first.fields().getInt(REGION_ACCESS_COUNT)).isEqualTo(4);
            assertThat(first.fields().getInt(REGION_ACCESS_DATA)).isEqualTo(0x1234);
            int before = fixture.device.asked(VFIO_USER_REGION_WRITE).size();
            for (int i = 0; i < 100; i++) {
                bells.getFirst().signal();
                fixture.onLoop(() -> {});
            }
            assertThat(fixture.device.asked(VFIO_USER_REGION_WRITE)).hasSize(before);
            fixture.device.answer(first, Arrays.copyOf(first.payload(), REGION_ACCESS_DATA));
            fixture.await(() -> fixture.device.asked(VFIO_USER_REGION_WRITE).size() == before + 1);
            assertThat(client.read(0, 0x10, 4)).isEqualTo(0x1234);
            assertThat(fixture.device.asked(VFIO_USER_REGION_WRITE)).hasSize(before + 1);
            bells.forEach(EventFd::close);
        }
    }

    @Test
    void serverThatDoesNotKnowTheQuestionHasNone() throws Exception {
        try (ProxyFixture fixture = new ProxyFixture(device -> {});
                MockVfioUserClient client = fixture.ready()) {
            assertThat(fixture.device.asked(VFIO_USER_DEVICE_GET_REGION_IO_FDS)).hasSize(1);
            assertThat(client.ioFds(0, ENOUGH).reply().fields().getInt(IO_FDS_COUNT)).isZero();
        }
    }
}
