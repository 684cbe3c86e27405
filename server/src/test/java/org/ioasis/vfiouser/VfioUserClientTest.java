// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.ioasis.spec.VfioUser.*;

import java.io.IOException;
import java.lang.foreign.ValueLayout;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import org.ioasis.loop.IdlePolicy;
import org.ioasis.memory.DirectDma;
import org.ioasis.pci.EchoType;
import org.ioasis.pci.VirtioPciFunction;
import org.ioasis.pci.VirtioPciTransport;
import org.ioasis.spec.Pci;
import org.ioasis.spec.Virtio;
import org.ioasis.virtio.driver.DriverException;
import org.ioasis.virtio.driver.Negotiation;
import org.ioasis.virtio.driver.Patience;
import org.ioasis.virtqueue.DriverQueue;
import org.ioasis.virtqueue.RingFormat;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** A driver without a VMM, at a server of ours and at one that breaks the protocol. */
class VfioUserClientTest {
    private static final long RAM = 1 << 20;
    private static final int WAIT_MILLIS = 10_000;

    @TempDir private Path folder;

    @Test
    void aDriverBringsTheDeviceUpAndGetsItsAnswers() throws Exception {
        Resources before = Resources.now();
        try (ServerFixture<VirtioPciFunction> fixture =
                new ServerFixture<>(
                        ServerFixture.LIMITS,
                        IdlePolicy.EVENT_DRIVEN,
                        made ->
                                new VirtioPciFunction(
                                        new EchoType(),
                                        new DirectDma(made.memory(), made.guards().open()),
                                        Virtio.F_VERSION_1,
                                        Pci.CLASS_STORAGE_SCSI))) {
            for (int round = 0; round < 3; round++) {
                try (VfioUserClient client =
                        new VfioUserClient(fixture.server.path(), RAM, WAIT_MILLIS)) {
                    echo(client);
                }
                fixture.awaitNoSession();
            }
            assertThat(fixture.loop.failures()).isZero();
        }
        assertThat(Resources.now()).isEqualTo(before);
    }

    private static void echo(VfioUserClient client) throws IOException, DriverException {
        VirtioPciTransport device = new VirtioPciTransport(client);
        device.locate();
        Patience patience = Patience.nanos(System::nanoTime, WAIT_MILLIS * 1_000_000L);
        long features = Negotiation.features(device, patience, device.deviceId(), 0, 0);
        assertThat(features).isEqualTo(Virtio.F_VERSION_1);
        assertThat(Negotiation.queueSize(device, 1, 8)).isEqualTo(8);
        assertThat(Negotiation.queueSize(device, 77, 8)).isZero();
        DriverQueue ring =
                RingFormat.SPLIT.newDriver(
                        client.memory().asSlice(0x1000, RingFormat.SPLIT.driverBytes(8)),
                        0x1000,
                        8,
                        false);
        Negotiation.enable(
                device, 1, 8, ring.descAddress(), ring.driverAddress(), ring.deviceAddress());
        Negotiation.ready(device);
        for (int i = 0; i < 50; i++) {
            client.memory().set(ValueLayout.JAVA_INT, 0x4000, i);
            int chain = ring.begin();
            ring.readable(0x4000, 4);
            ring.writable(0x5000, 4);
            ring.offer();
            ring.expose();
            device.kick(1);
            patience.begin();
            int back = ring.take();
            while (back == DriverQueue.NONE && patience.goOn()) {
                back = ring.take();
            }
            assertThat(back).isEqualTo(chain);
            assertThat(client.memory().get(ValueLayout.JAVA_BYTE, 0x5000))
                    .isEqualTo((byte) (i + 1));
        }
    }

    private IOException refused(byte[] answer) throws IOException, InterruptedException {
        return refused(answer, answer.length, 0);
    }

    /** A server that answers the first message with these bytes, in pieces with a pause between. */
    private IOException refused(byte[] answer, int piece, long pauseMillis)
            throws IOException, InterruptedException {
        Path path = folder.resolve("bad.sock");
        Files.deleteIfExists(path);
        try (ServerSocketChannel listener = ServerSocketChannel.open(StandardProtocolFamily.UNIX)) {
            listener.bind(UnixDomainSocketAddress.of(path));
            Thread server =
                    Thread.ofPlatform()
                            .start(() -> {
                                try (SocketChannel peer = listener.accept()) {
                                    ByteBuffer question = ByteBuffer.allocate(4096);
                                    peer.read(question);
                                    for (int at = 0; at < answer.length; at += piece) {
                                        peer.write(ByteBuffer.wrap(answer, at, piece));
                                        Thread.sleep(pauseMillis);
                                    }
                                    // Until the client has gone.
                                    while (peer.read(question.clear()) >= 0) {
                                        // What it says is of no interest.
                                    }
                                } catch (IOException | InterruptedException _) {
                                    // The client has gone earlier.
                                }
                            });
            IOException[] thrown = new IOException[1];
            assertThatThrownBy(() -> new VfioUserClient(path, RAM, 200).close())
                    .isInstanceOfSatisfying(IOException.class, why -> thrown[0] = why);
            server.join();
            return thrown[0];
        }
    }

    private static byte[] header(int id, int command, int size, int flags, int error) {
        return ByteBuffer.allocate(HEADER_SIZE)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putShort((short) id)
                .putShort((short) command)
                .putInt(size)
                .putInt(flags)
                .putInt(error)
                .array();
    }

    @Test
    @Timeout(60)
    void aServerThatBreaksTheProtocolIsRefused() throws Exception {
        assertThat(refused(new byte[0])).hasMessage("no answer within 200 ms");
        // What the JVM's own sockets keep is there by now.
        Resources before = Resources.now();
        assertThat(refused(new byte[5])).hasMessage("no answer within 200 ms");
        for (byte[] wrong :
                new byte[][] {
                    header(2, VFIO_USER_VERSION, 20, FLAGS_TYPE_REPLY, 0),
                    header(1, VFIO_USER_DMA_MAP, 20, FLAGS_TYPE_REPLY, 0),
                    header(1, VFIO_USER_VERSION, 20, FLAGS_TYPE_COMMAND, 0),
                    header(1, VFIO_USER_VERSION, 15, FLAGS_TYPE_REPLY, 0),
                    header(1, VFIO_USER_VERSION, -1, FLAGS_TYPE_REPLY, 0),
                    header(1, VFIO_USER_VERSION, (1 << 16) + 1, FLAGS_TYPE_REPLY, 0)
                }) {
            assertThat(refused(wrong)).hasMessageStartingWith("no answer to command 1");
        }
        assertThat(refused(header(1, VFIO_USER_VERSION, 16, FLAGS_TYPE_REPLY, 0)))
                .hasMessage("the answer to command 1 has 16 bytes");
        assertThat(refused(header(1, VFIO_USER_VERSION, 16, FLAGS_TYPE_REPLY | FLAGS_ERROR, 22)))
                .hasMessage("command 1 was refused: EINVAL");
        assertThat(Resources.now()).isEqualTo(before);
    }

    @Test
    @Timeout(60)
    void theWaitIsForAWholeAnswerAndNotForEachPieceOfIt() throws Exception {
        byte[] anotherVersion =
                ByteBuffer.allocate(HEADER_SIZE + 40)
                        .order(ByteOrder.LITTLE_ENDIAN)
                        .put(header(1, VFIO_USER_VERSION, HEADER_SIZE + 40, FLAGS_TYPE_REPLY, 0))
                        .putShort((short) 1)
                        .array();

        assertThat(refused(anotherVersion)).hasMessage("the server speaks version 1");
        assertThat(refused(anotherVersion, 1, 20)).hasMessage("no answer within 200 ms");
    }
}
