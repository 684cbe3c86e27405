// SPDX-License-Identifier: Apache-2.0
package org.ioasis.serve;

import static java.nio.ByteOrder.LITTLE_ENDIAN;
import static java.nio.charset.StandardCharsets.UTF_8;
import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.ioasis.config.ConfigFile;
import org.ioasis.live.ControlClient;
import org.ioasis.pci.VirtioPciTransport;
import org.ioasis.vfiouser.VfioUserClient;
import org.ioasis.virtio.driver.DriverException;
import org.ioasis.virtio.driver.DriverMemory;
import org.ioasis.virtio.driver.Patience;
import org.ioasis.virtio.iommu.driver.DriverOptions;
import org.ioasis.virtio.iommu.driver.DriverTable;
import org.ioasis.virtio.iommu.driver.IommuDriver;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** A server with the configuration of docs/nesting.md, and our driver at its socket. */
class ServedProfileTest {
    private static final ValueLayout.OfLong LE64 = ValueLayout.JAVA_LONG.withOrder(LITTLE_ENDIAN);
    private static final Pattern BLOCK = Pattern.compile("```toml\n(.*?)```", Pattern.DOTALL);
    private static final long MEMORY = 16 << 20;
    private static final long DRIVER = 8 << 20;
    private static final long ROOT = 0x10_0000;
    private static final int WAIT_MILLIS = 10_000;
    private static final int ENDPOINT = 0x88;

    private Path folder;

    @BeforeEach
    void makeFolder() throws Exception {
        folder = Files.createTempDirectory(Path.of("/tmp"), "t-");
    }

    @AfterEach
    void removeFolder() throws Exception {
        try (Stream<Path> files = Files.list(folder)) {
            for (Path file : files.toList()) {
                Files.delete(file);
            }
        }
        Files.delete(folder);
    }

    /** What the document shows, at places of the test's. */
    private Path configuration() throws Exception {
        String text = Files.readString(root().resolve("docs/nesting.md"), UTF_8);
        Matcher block = BLOCK.matcher(text);
        assertThat(block.find()).isTrue();
        return Files.writeString(folder.resolve("handover.toml"), block.group(1));
    }

    private static Path root() {
        Path folder = Path.of("").toAbsolutePath();
        while (!Files.exists(folder.resolve("ioasis"))) {
            folder = requireNonNull(folder.getParent());
        }
        return folder;
    }

    private static IommuDriver driver(VfioUserClient client, DriverOptions options)
            throws Exception {
        VirtioPciTransport transport = new VirtioPciTransport(client);
        transport.locate();
        return new IommuDriver(
                transport,
                new DriverMemory(client.memory().asSlice(DRIVER), DRIVER),
                Patience.nanos(System::nanoTime, WAIT_MILLIS * 1_000_000L),
                options);
    }

    @Test
    void theServerOfTheDocumentTakesTablesAndSaysSo() throws Exception {
        try (Server _ = Server.start(ConfigFile.read(configuration()));
                VfioUserClient client =
                        new VfioUserClient(folder.resolve("iommu.sock"), MEMORY, WAIT_MILLIS)) {
            IommuDriver driver = driver(client, DriverOptions.DEFAULT.withTables());
            MemorySegment memory = client.memory();
            for (int level = 0; level < 3; level++) {
                memory.set(LE64, ROOT + level * 0x1000L, (ROOT + (level + 1) * 0x1000L) | 7);
            }
            memory.set(LE64, ROOT + 0x3000, 0x20_0000 | 7);
            DriverTable table = driver.tables().table(ROOT, 48);
            driver.tables().attach(table, ENDPOINT);
            driver.tables().attach(table, ENDPOINT, 7);
            driver.tables().invalidate(table, 0, 0xfff);
            driver.tables().invalidate(table);

            ControlClient.Answer dump =
                    ControlClient.ask(folder.resolve("ioasis-control.sock"), "dump", WAIT_MILLIS);
            assertThat(dump.text()).contains("ATTACH_TABLE/OK=2", "INVALIDATE/OK=2", "PROBE/OK=1");
            driver.tables().detach(table, ENDPOINT);
            driver.stop();
        }
    }

    @Test
    void withoutTheLineItIsADeviceLikeEveryOther() throws Exception {
        Path plain =
                Files.writeString(
                        folder.resolve("plain.toml"),
                        Files.readString(configuration(), UTF_8)
                                .replaceAll("(?m)^profile.*\n", ""));
        Files.delete(folder.resolve("handover.toml"));
        try (Server _ = Server.start(ConfigFile.read(plain));
                VfioUserClient client =
                        new VfioUserClient(folder.resolve("iommu.sock"), MEMORY, WAIT_MILLIS)) {
            assertThatThrownBy(() -> driver(client, DriverOptions.DEFAULT.withTables()))
                    .isInstanceOf(DriverException.class);
            assertThat(driver(client, DriverOptions.DEFAULT).config().has(DriverOptions.TABLES))
                    .isFalse();
        }
    }
}
