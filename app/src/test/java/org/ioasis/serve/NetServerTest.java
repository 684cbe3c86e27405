// SPDX-License-Identifier: Apache-2.0
package org.ioasis.serve;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.ioasis.spec.VirtioIommu.S_OK;

import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Path;
import java.util.List;
import org.ioasis.config.FlagConfig;
import org.ioasis.config.ServeConfig;
import org.ioasis.kind.net.NetKind;
import org.ioasis.live.ControlClient;
import org.ioasis.spec.Virtio;
import org.ioasis.sys.Fd;
import org.ioasis.sys.Mapping;
import org.ioasis.sys.Memfd;
import org.ioasis.virtio.net.VirtioNet;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A served network device: what {@code dump} shows of it and what {@code check} finds. */
class NetServerTest {
    private static final int ENDPOINT = 0x10;
    private static final int TRIES = 2000;

    @TempDir Path folder;
    private ServerSocketChannel listener;
    private Fd ramFd;
    private Mapping ram;

    @BeforeEach
    void listen() throws Exception {
        listener = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
        listener.bind(UnixDomainSocketAddress.of(folder.resolve("p.sock")));
        ramFd = Memfd.create("ram", SocketVmm.RAM);
        ram = Mapping.map(ramFd, 0, SocketVmm.RAM, true);
    }

    @AfterEach
    void close() throws IOException {
        listener.close();
        ram.close();
        ramFd.close();
    }

    private ServeConfig config(String carrier) throws Exception {
        return FlagConfig.iommu(folder.resolve("iommu.sock"))
                .devices(
                        new NetKind(),
                        List.of(folder.resolve("net.sock") + ",endpoint=0x10,mtu=1400," + carrier))
                .resolve();
    }

    private String ask(String command) throws IOException {
        return ControlClient.ask(
                        folder.resolve("ioasis-control.sock"), command, ControlClient.WAIT_MILLIS)
                .text();
    }

    /** Asks until the answer has that in it. */
    private void awaitCheck(String text) throws IOException, InterruptedException {
        String answer = ask("check");
        for (int i = 0; i < TRIES && !answer.contains(text); i++) {
            Thread.sleep(10);
            answer = ask("check");
        }
        assertThat(answer).contains(text);
    }

    private static void send(SocketChannel to, int bytes) throws IOException {
        ByteBuffer frame = ByteBuffer.allocate(Integer.BYTES + bytes).putInt(0, bytes);
        while (frame.hasRemaining()) {
            int _ = to.write(frame);
        }
    }

    /** Closes by hand too: what follows is seen while the rest goes on. */
    @SuppressWarnings("try")
    @Test
    void whatKeepsADeviceFromItsWorkIsFoundOneAfterTheOther() throws Exception {
        try (Server _ = Server.start(config("stream=" + folder.resolve("p.sock")));
                SocketChannel peer = listener.accept();
                SocketVmm iommu = new SocketVmm(folder.resolve("iommu.sock"));
                SocketVmm net = new SocketVmm(folder.resolve("net.sock"))) {
            assertThat(ask("dump"))
                    .contains(
                            "      device: frames stream=%s, link up, mac 52:54:00:00:00:10, mtu 1400\n"
                                    .formatted(folder.resolve("p.sock")));
            assertThat(ask("dump json")).contains("\"mtu\" : \"1400\"");

            iommu.map(ramFd);
            IommuDriver driver = new IommuDriver(iommu, ram);
            driver.start();
            assertThat(driver.attach(ENDPOINT, 1, 0)).isEqualTo(S_OK);
            assertThat(driver.map(1, 0, SocketVmm.RAM - 1, 0)).isEqualTo(S_OK);
            net.map(ramFd);
            net.negotiate(Virtio.F_VERSION_1 | Virtio.F_ACCESS_PLATFORM);
            net.queue(0, ram, 0x20000);
            net.queue(1, ram, 0x28000);
            net.driverOk();
            awaitCheck("ok machine/net0: translated");

            for (int i = 0; i <= VirtioNet.FRAME_LIMIT; i++) {
                send(peer, 60);
            }
            awaitCheck(
                    "PROBLEM machine/net0: 1 frames for the guest were dropped, and it has taken none");

            peer.shutdownOutput();
            awaitCheck("PROBLEM machine/net0: nobody carries its frames any more");
            assertThat(ask("dump")).contains("link down");
        }
    }

    @Test
    void whoDoesNotListenAndATapThatIsNoneAreRefusedBeforeAnythingIsServed() throws Exception {
        assertThatThrownBy(() -> Server.start(config("stream=" + folder.resolve("none.sock"))))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("nobody carries frames at " + folder.resolve("none.sock"));
        assertThat(folder.resolve("net.sock")).doesNotExist();
        assertThatThrownBy(() -> Server.start(config("tap=lo")))
                .isInstanceOf(IOException.class)
                .hasMessageStartingWith("tap=lo: ");
        assertThat(folder.resolve("net.sock")).doesNotExist();
        assertThat(folder.resolve("iommu.sock")).doesNotExist();
    }
}
