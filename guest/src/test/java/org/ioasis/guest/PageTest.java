// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guest;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.ioasis.config.FlagConfig;
import org.ioasis.kind.blk.BlkKind;
import org.ioasis.kind.rng.RngKind;
import org.ioasis.live.ControlClient;
import org.ioasis.pci.VirtioPciTransport;
import org.ioasis.serve.Server;
import org.ioasis.vfiouser.VfioUserClient;
import org.ioasis.virtio.driver.DriverMemory;
import org.ioasis.virtio.driver.Patience;
import org.ioasis.virtio.iommu.driver.DriverDomain;
import org.ioasis.virtio.iommu.driver.DriverOptions;
import org.ioasis.virtio.iommu.driver.IommuDriver;
import org.ioasis.virtio.iommu.driver.Permission;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.openqa.selenium.Keys;

/** The page in a real browser: a server with a driver of ours, and a guest. */
class PageTest {
    private static final long MEMORY = 16 << 20;
    private static final long DRIVER = 8 << 20;
    private static final int WAIT_MILLIS = 10_000;
    private static final int ROGUE = 0x18;
    private static final long MIB = 1 << 20;

    /** Itself, its style, three scripts, its icon, the stream: what each page asks for. */
    static final int LOADED = 7;

    private static final Pattern ADDRESS = Pattern.compile("page (http://\\S+)");

    private Path folder;

    @BeforeEach
    void makeFolder() throws IOException {
        folder = Files.createTempDirectory(Path.of("/tmp"), "t-");
        Files.write(folder.resolve("disk.img"), new byte[1 << 16]);
    }

    @AfterEach
    void removeFolder() throws IOException {
        try (Stream<Path> files = Files.walk(folder)) {
            for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
                Files.deleteIfExists(file);
            }
        }
    }

    private Server serve() throws Exception {
        return Server.start(
                FlagConfig.iommu(folder.resolve("iommu.sock"))
                        .devices(
                                new BlkKind(),
                                List.of(
                                        "%s,file=%s"
                                                .formatted(
                                                        folder.resolve("disk.sock"),
                                                        folder.resolve("disk.img"))))
                        .devices(
                                new RngKind(),
                                List.of(folder.resolve("rng.sock") + ",endpoint=0x18,rogue"))
                        .resolve());
    }

    private VfioUserClient connect(String device) throws IOException {
        return new VfioUserClient(folder.resolve(device + ".sock"), MEMORY, WAIT_MILLIS);
    }

    private static IommuDriver driver(VfioUserClient client) throws Exception {
        VirtioPciTransport transport = new VirtioPciTransport(client);
        transport.locate();
        return new IommuDriver(
                transport,
                new DriverMemory(client.memory().asSlice(DRIVER), DRIVER),
                Patience.nanos(System::nanoTime, WAIT_MILLIS * 1_000_000L),
                DriverOptions.DEFAULT);
    }

    private void fire(long address, int times) throws IOException {
        ControlClient.Answer answer =
                ControlClient.ask(
                        folder.resolve("ioasis-control.sock"),
                        "rogue - write stride 0x%x 0x1000 16 %d".formatted(address, times),
                        WAIT_MILLIS);
        assertThat(answer.status()).as(answer.text()).isZero();
    }

    @Test
    void devicesAddressesFaultsAndFailuresAreSeenAndReachedByKeys() throws Exception {
        try (Server server = serve();
                VfioUserClient iommu = connect("iommu");
                VfioUserClient _ = connect("disk");
                VfioUserClient _ = connect("rng")) {
            IommuDriver driver = driver(iommu);
            DriverDomain domain = driver.domain();
            driver.attach(domain, ROGUE);
            try (Browser browser = Browser.open(server.servePage(0), folder)) {
                browser.await("link", text -> text.equals("live"));
                assertThat(browser.await("devices", text -> text.contains("rng0")))
                        .contains("machine/iommu", "disk0", "VMM connected", "0x18");
                browser.await("domain", text -> text.contains("rng0"));

                // Three runs: 256 pages on end, every other page of 64, and pages to be read.
                domain.map(
                        0xfee0_0000L - 2 * MIB, 0xfee0_0000L - MIB - 1, 0, Permission.READ_WRITE);
                for (int i = 0; i < 32; i++) {
                    long at = 0xfee0_0000L - MIB + i * 0x2000L;
                    domain.map(at, at + 0xfff, i * 0x1000L, Permission.READ_WRITE);
                }
                domain.map(
                        0xfee0_0000L - MIB / 2, 0xfee0_0000L - MIB / 4 - 1, MIB, Permission.READ);
                domain.map(0x1000_0000L, 0x1000_ffffL, 0, Permission.WRITE);
                domain.unmap(0x1000_0000L, 0x1000_ffffL);
                browser.await("range", text -> text.contains("34 mappings in 34 runs"));
                browser.awaitCount("#map .mapped.rw", 10);
                assertThat(browser.count("#map .mapped.r")).isPositive();
                browser.await("requests", text -> text.contains("UNMAP"));

                // A rogue's accesses, with their explanation and what they came from.
                fire(0x1000_0000L, 3);
                String faults = browser.await("faults", text -> text.contains("0x10000000"));
                assertThat(faults)
                        .contains("WRITE 0x10000000", "rng0")
                        .contains("not mapped in domain", "nearest is 0xfec00000..0xfecfffff")
                        .contains("before: 0x10000000..0x1000ffff: UNMAP at ");
                browser.await("devices", text -> text.contains("3 refused"));
                browser.wholeScreenshot("page-light");

                // Keys alone: all addresses, to the fault, and back to what is mapped.
                browser.tabTo("#map");
                browser.press(Keys.END);
                browser.await("range", text -> text.startsWith("0x0 – 0xffffffffffffffff"));
                browser.press(Keys.ENTER);
                browser.await("range", text -> text.contains(", 4 EiB, "));
                browser.press(Keys.ENTER);
                browser.await("range", text -> text.contains(", 1 EiB, "));
                browser.press(Keys.HOME);
                String all =
                        browser.await("range", text -> text.startsWith("0xfec00000 – 0xfedbffff"));
                browser.press("+");
                String near = browser.await("range", text -> !text.equals(all));
                assertThat(near).contains("448 KiB");
                String cell = browser.text("cell");
                browser.press(Keys.ARROW_RIGHT);
                assertThat(browser.await("cell", text -> !text.equals(cell))).contains("0xfec");
                browser.press(Keys.PAGE_DOWN);
                browser.await("range", text -> !text.equals(near));
                browser.script("document.querySelector('#faults button').click()");
                browser.awaitCount("#map .fault", 1);
                browser.awaitCount("#map .unmapped", 1);
                assertThat(browser.await("cell", text -> text.contains("refused")))
                        .contains("unmapped at");
                browser.screenshot("page");

                // A failure is planted after a confirmation, and the driver meets it.
                browser.element("plant").click();
                browser.element("inject-go").click();
                assertThat(browser.text("inject-answer")).isEmpty();
                browser.element("inject-sure").click();
                browser.screenshot("page-inject");
                browser.element("inject-go").click();
                browser.await("inject-answer", text -> text.contains("planted: map_nomem 1"));
                browser.element("inject-cancel").click();
                assertThat(failedMap(domain)).contains("NOMEM");
                browser.await("requests", text -> text.contains("NOMEM: planted"));

                browser.scheme("dark");
                browser.script("document.querySelector('#fit').click()");
                browser.await("range", text -> text.equals(all));
                browser.screenshot("page-dark");
                browser.screen(390, 844, true);
                browser.awaitCount("#map .mapped", 1);
                browser.wholeScreenshot("page-phone");
                assertThat(browser.script("return document.documentElement.scrollWidth").toString())
                        .isEqualTo("390");
                browser.assertQuiet(LOADED);
            }
            driver.stop();
        }
    }

    private static String shown(Command command) throws InterruptedException {
        command.await("page http");
        Matcher found = ADDRESS.matcher(command.output());
        assertThat(found.find()).isTrue();
        return found.group(1);
    }

    @Test
    void commandsOfTheReadmeShowAServerAndTheRunOfAGuest() throws Exception {
        List<String> commands = Readme.commands("Look at it");
        assertThat(commands).hasSize(3);
        Command.link(folder);
        try (Command server = Command.typed(folder, commands.get(0));
                Browser browser = Browser.open(shown(server), folder)) {
            browser.await("devices", text -> text.contains("no VMM has connected"));
            browser.assertQuiet(LOADED);
            server.signal("TERM");
            assertThat(server.end()).as(server.output()).isZero();
        }
        try (Command run = Command.typed(folder, commands.get(1));
                Browser browser = Browser.open(shown(run), folder)) {
            browser.await("domain", text -> text.contains("mappings"));
            browser.awaitCount("#map .mapped", 1);
            browser.await("requests", text -> text.contains("UNMAP") && text.contains("MAP "));
            browser.await("plot-translations", text -> text.contains("/s"));
            browser.wholeScreenshot("page-guest");
            browser.assertQuiet(LOADED);
            assertThat(run.end()).as(run.output()).isZero();
        }
    }

    @Test
    void withoutThePageNothingOfItIsLoaded() throws Exception {
        for (String option : List.of("--log-level=info", "--page")) {
            Path loaded = folder.resolve("loaded" + option);
            try (Command server =
                    new Command(
                            Map.of("JAVA_TOOL_OPTIONS", "-Xlog:class+load:file=" + loaded),
                            "serve",
                            "--iommu",
                            folder.resolve("iommu.sock").toString(),
                            "--rng",
                            folder.resolve("rng.sock").toString(),
                            option)) {
                server.await(
                        "that ends the arguments", said -> said.matches(" *-device .*[^\\\\]"));
                server.signal("TERM");
                assertThat(server.end()).as(server.output()).isZero();
            }
            String classes = Files.readString(loaded);
            assertThat(classes).contains("org.ioasis.serve.Server");
            assertThat(classes.contains("org.eclipse.jetty.")).isEqualTo(option.equals("--page"));
            assertThat(classes.contains("org.ioasis.page.")).isEqualTo(option.equals("--page"));
        }
    }

    private static String failedMap(DriverDomain domain) {
        try {
            domain.map(0x2000_0000L, 0x2000_0fffL, 0, Permission.READ);
            return "it was mapped";
        } catch (Exception e) {
            return String.valueOf(e.getMessage());
        }
    }
}
