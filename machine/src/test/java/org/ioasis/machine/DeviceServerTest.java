// SPDX-License-Identifier: Apache-2.0
package org.ioasis.machine;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.Closeable;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicLong;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.memory.Outcome;
import org.ioasis.pci.DmaFunction;
import org.ioasis.pci.FunctionLayout;
import org.ioasis.pci.SharedMemoryFunction;
import org.ioasis.topology.ViotReport;
import org.ioasis.topology.ViotReport.PciIommu;
import org.ioasis.topology.ViotReport.PciRange;
import org.ioasis.vfiouser.VfioUserClient;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Functions of somebody's own on sockets, behind an IOMMU, and a client in a VMM's place. */
class DeviceServerTest {
    private static final int WAIT_MILLIS = 10_000;
    private static final int DONE = 1;
    private static final int FAULT = 2;

    @TempDir private Path folder;

    /** Copies the first byte of memory to where its register says, and says what came of it. */
    private static final class Copier extends DmaFunction implements Closeable {
        private final MemorySegment buffer = MemorySegment.ofArray(new byte[1]);
        private Outcome outcome = Outcome.OK;
        private final AtomicLong copies = new AtomicLong();
        private volatile boolean isClosed;

        Copier(FunctionPort port) {
            super(FunctionLayout.builder(0x1234, 1).bar(0, 64).build(), port.dma());
        }

        @Override
        protected long readRegister(int bar, long offset, int size) {
            return outcome == Outcome.OK ? DONE : outcome == Outcome.FAULT ? FAULT : 0;
        }

        @Override
        protected void writeRegister(int bar, long offset, int size, long value) {
            if (value == 99) {
                throw new IllegalStateException("99 is too much");
            }
            outcome = readMemory(0, buffer, 0, 1);
            if (outcome == Outcome.OK) {
                outcome = writeMemory(value, buffer, 0, 1);
            }
            copies.incrementAndGet();
        }

        @Override
        protected void restart() {}

        @Override
        public Map<String, Long> counters() {
            return Map.of("copies", copies.get());
        }

        @Override
        public void close() {
            isClosed = true;
        }
    }

    private Path socket(String name) {
        return folder.resolve(name + ".sock");
    }

    private DeviceServer.Builder builder(boolean bypass) {
        return DeviceServer.iommu(socket("iommu"))
                .options(IommuOptions.builder().bypassAtStart(bypass).build())
                .function("copier", socket("copier"), Copier::new)
                .function("memory", socket("memory"), _ -> new SharedMemoryFunction(4096, 1));
    }

    private static FunctionDevice copier(DeviceServer server) {
        return server.machine().devices(FunctionDevice.class).getFirst();
    }

    @Test
    void functionIsServedAndItsAccessesGoThroughTheIommu() throws IOException {
        Copier copier;
        try (DeviceServer server = builder(false).start();
                VfioUserClient client =
                        new VfioUserClient(socket("copier"), 1 << 16, WAIT_MILLIS)) {
            copier = (Copier) copier(server).function();
            assertThat(client.config(0, 4)).isEqualTo(0x1_1234);
            client.write(0, 0, 8, 0x1000);
            assertThat(client.read(0, 0, 4)).isEqualTo(FAULT);
            assertThat(server.machine().faults()).isEqualTo(1);
            assertThat(server.machine().recentFaults().getFirst().endpoint()).isEqualTo(0x88);
            assertThat(copier(server).work()).containsExactly(Map.entry("copies", 1L));
            assertThat(copier.isClosed).isFalse();
        }
        assertThat(copier.isClosed).isTrue();
        assertThat(socket("copier")).doesNotExist();
        assertThat(socket("iommu")).doesNotExist();
    }

    @Test
    void functionReachesTheMemoryOfItsVmmWhereItMay() throws IOException {
        try (DeviceServer _ = builder(true).start();
                VfioUserClient client =
                        new VfioUserClient(socket("copier"), 1 << 16, WAIT_MILLIS)) {
            client.memory().set(ValueLayout.JAVA_BYTE, 0, (byte) 42);
            client.write(0, 0, 8, 0x1000);
            assertThat(client.read(0, 0, 4)).isEqualTo(DONE);
            assertThat(client.memory().get(ValueLayout.JAVA_BYTE, 0x1000)).isEqualTo((byte) 42);
        }
    }

    @Test
    void whatAFunctionThrowsEndsItsSessionAndNoOther() throws IOException {
        try (DeviceServer server = builder(true).start();
                VfioUserClient other = new VfioUserClient(socket("memory"), 1 << 16, WAIT_MILLIS)) {
            try (VfioUserClient client =
                    new VfioUserClient(socket("copier"), 1 << 16, WAIT_MILLIS)) {
                client.write(0, 0, 8, 99);
                assertThatThrownBy(() -> client.read(0, 0, 4)).isInstanceOf(IOException.class);
            } catch (IOException ended) {
                // The write itself may have met the end.
                assertThat(ended).hasMessageContaining("closed");
            }
            assertThat(other.read(0, 8, 4)).isZero();
            try (VfioUserClient again =
                    new VfioUserClient(socket("copier"), 1 << 16, WAIT_MILLIS)) {
                again.write(0, 0, 8, 1);
                assertThat(again.read(0, 0, 4)).isEqualTo(DONE);
            }
            assertThat(copier(server).server().sessionCount()).isEqualTo(2);
        }
    }

    @Test
    void tableAndArgumentsNameEachFunctionAtItsPlace() throws IOException {
        try (DeviceServer server = builder(true).start()) {
            ViotReport report = ViotReport.of(server.table());
            assertThat(report.findings()).isEmpty();
            assertThat(report.nodes())
                    .extracting(node -> node instanceof PciRange range ? range.bdfStart() : 0)
                    .containsExactly(0, 0x88, 0x90);
            assertThat(report.nodes().getFirst())
                    .isInstanceOfSatisfying(
                            PciIommu.class, iommu -> assertThat(iommu.bdf()).isEqualTo(0x80));
            List<String> lines = server.qemuArguments(Path.of("/tables/a,b.viot"));
            assertThat(lines)
                    .hasSize(7)
                    .contains("  -acpitable file=/tables/a,,b.viot \\")
                    .element(5)
                    .asString()
                    .contains("\"addr\":\"11.0\"")
                    .contains(socket("copier").toString());
            assertThat(lines.getLast()).endsWith("'").contains("\"addr\":\"12.0\"");
        }
    }

    @Test
    void nothingIsLeftOfAStartThatFails() throws IOException {
        assertThatThrownBy(() ->
                        builder(true)
                                .function(
                                        "late",
                                        socket("late"),
                                        _ -> {
                                            throw new IOException("no such sensor");
                                        })
                                .start())
                .hasMessage("no such sensor");
        assertThat(folder).isEmptyDirectory();
        DeviceServer.Builder full = DeviceServer.iommu(socket("iommu"));
        for (int i = 0; i < DeviceServer.FUNCTIONS_MAX; i++) {
            full.function("f" + i, socket("f" + i), Copier::new);
        }
        assertThatThrownBy(() -> full.function("more", socket("more"), Copier::new))
                .hasMessage("there are 9 functions");
        try (DeviceServer server = full.start()) {
            assertThat(server.qemuArguments(Path.of("t")).getLast()).contains("\"addr\":\"19.0\"");
        }
    }
}
