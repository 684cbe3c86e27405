// SPDX-License-Identifier: Apache-2.0
package org.ioasis.serve;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.ioasis.spec.VirtioIommu.*;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.io.InputStream;
import java.net.HttpURLConnection;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.ioasis.config.FlagConfig;
import org.ioasis.config.ServeConfig;
import org.ioasis.kind.blk.BlkKind;
import org.ioasis.kind.rng.RngKind;
import org.ioasis.live.ControlClient;
import org.ioasis.sys.Fd;
import org.ioasis.sys.Mapping;
import org.ioasis.sys.Memfd;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/**
 * What a whole server exposes while a VMM and its driver are there, and that the dashboard, the
 * alert rules and the document in docs/monitoring speak of nothing else.
 */
class MetricsTest {
    private static final int DISK = 0x88;
    private static final int ROGUE = 0x89;
    private static final Path MONITORING = folderOf("docs/monitoring");

    private static final Pattern NAME = Pattern.compile("\\bioasis_\\w+");
    private static final Pattern SELECTOR = Pattern.compile("\\{([^}]*)}");
    private static final Pattern MATCHER = Pattern.compile("(\\w+)=~?\"");
    private static final Pattern GROUPING = Pattern.compile("by \\(([^)]*)\\)");
    private static final Pattern TEMPLATE = Pattern.compile("\\{\\{ *(?:\\$labels\\.)?(\\w+) *}}");
    private static final Pattern ALERT =
            Pattern.compile(
                    "(?m)^      - alert: (\\w+)\\n        expr: (.*)\\n((?:        .*\\n)*)");
    private static final Pattern ROW =
            Pattern.compile("(?m)^\\| `(ioasis_\\w+)` \\| ([^|]*) \\| [^|]+ \\|$");
    private static final Pattern WORD = Pattern.compile("`(\\w+)`");

    private Path folder;
    private Fd ramFd;
    private Mapping ram;
    private Server server;
    private final List<AutoCloseable> open = new ArrayList<>();

    private static Path folderOf(String name) {
        Path up = Path.of("").toAbsolutePath();
        while (!Files.isDirectory(up.resolve(name))) {
            Path parent = up.getParent();
            if (parent == null) {
                throw new IllegalStateException("no " + name);
            }
            up = parent;
        }
        return up.resolve(name);
    }

    @BeforeEach
    void start() throws Exception {
        folder = Files.createTempDirectory(Path.of("/tmp"), "t-");
        Files.write(folder.resolve("disk.img"), new byte[1 << 16]);
        ramFd = Memfd.create("ram", SocketVmm.RAM);
        ram = Mapping.map(ramFd, 0, SocketVmm.RAM, true);
        ServeConfig config =
                FlagConfig.iommu(folder.resolve("iommu.sock"))
                        .devices(
                                new BlkKind(),
                                List.of(
                                        "%s,file=%s,endpoint=%d"
                                                .formatted(
                                                        folder.resolve("disk.sock"),
                                                        folder.resolve("disk.img"),
                                                        DISK)))
                        .devices(
                                new RngKind(),
                                List.of(
                                        "%s,endpoint=%d,rogue"
                                                .formatted(folder.resolve("rng.sock"), ROGUE)))
                        .resolve();
        server = Server.start(config);
        server.serveMetrics(0);
    }

    @AfterEach
    void cleanUp() throws Exception {
        for (AutoCloseable one : open) {
            one.close();
        }
        server.close();
        ram.close();
        ramFd.close();
        try (Stream<Path> files = Files.list(folder)) {
            for (Path file : files.toList()) {
                Files.delete(file);
            }
        }
        Files.delete(folder);
    }

    private SocketVmm connect(String device) throws IOException {
        SocketVmm vmm = new SocketVmm(folder.resolve(device + ".sock"));
        open.add(vmm);
        vmm.map(ramFd);
        return vmm;
    }

    private URI address() {
        String line =
                server.announcement().stream()
                        .filter(one -> one.startsWith("metrics "))
                        .findAny()
                        .orElseThrow();
        return URI.create(line.substring("metrics ".length()));
    }

    private PrometheusText scrape() throws IOException {
        try (InputStream text = address().toURL().openStream()) {
            return PrometheusText.parse(new String(text.readAllBytes(), UTF_8));
        }
    }

    /** Scrapes that come right after another get what that got. */
    private PrometheusText scrapeLater() throws Exception {
        Thread.sleep(300);
        return scrape();
    }

    /** A driver, one mapping of the disk's, and a rogue that is refused twice. */
    private void use() throws Exception {
        IommuDriver driver = new IommuDriver(connect("iommu"), ram);
        driver.start();
        assertThat(driver.attach(ROGUE, 7, 0)).isEqualTo(S_OK);
        assertThat(driver.map(7, 0x5000, 0x5fff, 0x6000)).isEqualTo(S_OK);
        assertThat(driver.map(7, 0x5000, 0x5fff, 0x6000)).isEqualTo(S_INVAL);
        connect("rng");
        Path control = folder.resolve("ioasis-control.sock");
        assertThat(
                        ControlClient.ask(
                                        control,
                                        "rogue machine/rng0 read stride 0x5000 0x1000 16 3",
                                        10_000)
                                .text())
                .startsWith("3 reads of 16 bytes: 1 went through, 2 refused by the IOMMU");
    }

    @Test
    void whatAServerHasCountedIsThereWithItsNames() throws Exception {
        PrometheusText before = scrape();
        use();
        PrometheusText after = scrapeLater();

        assertThat(before.value("ioasis_machine_up", "machine", "machine")).isEqualTo(1);
        assertThat(before.value("ioasis_mappings", "machine", "machine", "iommu", "iommu"))
                .isZero();
        for (String type : List.of("attach", "map")) {
            String[] labels = {
                "machine", "machine", "iommu", "iommu", "type", type, "status", "ok"
            };
            assertThat(before.value("ioasis_requests_total", labels)).isZero();
            assertThat(after.value("ioasis_requests_total", labels)).isEqualTo(1);
        }
        assertThat(
                        after.value(
                                "ioasis_requests_total",
                                "machine",
                                "machine",
                                "iommu",
                                "iommu",
                                "type",
                                "map",
                                "status",
                                "inval"))
                .isEqualTo(1);
        String[] iommu = {"machine", "machine", "iommu", "iommu"};
        assertThat(after.value("ioasis_mappings", iommu)).isEqualTo(1);
        assertThat(after.value("ioasis_domains", iommu)).isEqualTo(1);
        assertThat(after.value("ioasis_mappings_limit", iommu)).isEqualTo(1 << 20);
        assertThat(after.value("ioasis_unmap_waits_total", iommu)).isZero();
        assertThat(
                        after.value(
                                "ioasis_faults_total",
                                "machine",
                                "machine",
                                "iommu",
                                "iommu",
                                "reason",
                                "mapping"))
                .isEqualTo(2);
        String[] rogue = {"machine", "machine", "iommu", "iommu", "device", "rng0"};
        assertThat(after.value("ioasis_dma_faults_total", rogue)).isEqualTo(2);
        assertThat(after.value("ioasis_endpoint_attached", rogue)).isEqualTo(1);
        String[] mapped = {
            "machine", "machine", "iommu", "iommu", "device", "rng0", "through", "mapping"
        };
        assertThat(after.value("ioasis_dma_accesses_total", mapped)).isPositive();
        assertThat(after.value("ioasis_dma_bytes_total", mapped)).isEqualTo(16);
        assertThat(after.value("ioasis_session_active", "machine", "machine", "device", "iommu"))
                .isEqualTo(1);
        assertThat(after.value("ioasis_session_active", "machine", "machine", "device", "disk0"))
                .isZero();
        assertThat(
                        after.value(
                                "ioasis_device_operations_total",
                                "machine",
                                "machine",
                                "device",
                                "disk0",
                                "operation",
                                "reads"))
                .isZero();
        assertThat(after.value("ioasis_metrics_requests_total")).isGreaterThanOrEqualTo(1);
    }

    /** Series are as many as the configuration makes, whatever a driver does. */
    @Test
    void aDriverMakesNoSeriesButForAnswersOfAKindThatWasNotThereYet() throws Exception {
        Set<String> before = series(scrape());
        use();
        Set<String> after = series(scrapeLater());

        assertThat(after).containsAll(before);
        after.removeAll(before);
        assertThat(after).hasSize(1);
        assertThat(after.iterator().next())
                .startsWith("ioasis_requests_total")
                .contains("status=inval");
    }

    private static Set<String> series(PrometheusText text) {
        Set<String> all = new TreeSet<>();
        text.samples().forEach(one -> all.add(one.name() + new TreeMap<>(one.labels())));
        return all;
    }

    @Test
    void aServerThatEndsAnswersNobodyAnyMore() throws Exception {
        URI address = address();
        HttpURLConnection asked = (HttpURLConnection) address.toURL().openConnection();
        assertThat(asked.getResponseCode()).isEqualTo(200);
        asked.disconnect();

        server.close();

        assertThatThrownBy(() -> address.toURL().openStream().close())
                .isInstanceOf(IOException.class);
    }

    // What is in docs/monitoring
    // --------------------------------------------------------------------------------------------

    /** A query asks for metrics that there are, and names labels that they have. */
    private static void assertAsksForWhatIsThere(
            PrometheusText exposed, String query, String templates) {
        assertThat(query.chars().filter(c -> c == '(').count())
                .as(query)
                .isEqualTo(query.chars().filter(c -> c == ')').count());
        List<String> names =
                NAME.matcher(query).results().map(found -> found.group()).distinct().toList();
        assertThat(names).as(query).isNotEmpty();
        Set<String> labels = new TreeSet<>();
        String grouping = "";
        for (Matcher found = GROUPING.matcher(query); found.find(); ) {
            grouping = found.group(1);
            labels.addAll(List.of(grouping.split(", ", -1)));
        }
        for (Matcher found = SELECTOR.matcher(query); found.find(); ) {
            for (Matcher label = MATCHER.matcher(found.group(1)); label.find(); ) {
                labels.add(label.group(1));
            }
        }
        Set<String> shown = new TreeSet<>();
        TEMPLATE.matcher(templates).results().forEach(found -> shown.add(found.group(1)));
        if (!grouping.isEmpty()) {
            assertThat(List.of(grouping.split(", ", -1))).as(query).containsAll(shown);
        }
        labels.addAll(shown);
        for (String name : names) {
            assertThat(exposed.types()).as(query).containsKey(name);
            assertThat(exposed.labelsOf(name)).as(query).containsAll(labels);
            assertThat(
                            query.contains("rate(")
                                    || query.contains("increase(")
                                    || !isCounter(name)
                                    || query.contains(name + " >"))
                    .as("a counter is asked for its growth: " + query)
                    .isTrue();
        }
    }

    private static boolean isCounter(String name) {
        return name.endsWith("_total");
    }

    @Test
    void theDashboardAsksForWhatIsThere() throws Exception {
        use();
        PrometheusText exposed = scrapeLater();
        int queries = 0;
        Set<String> titles = new TreeSet<>();
        try (JsonParser json =
                new JsonFactory().createParser(MONITORING.resolve("dashboard.json").toFile())) {
            String query = "";
            while (json.nextToken() != null) {
                if (json.currentToken() != JsonToken.VALUE_STRING) {
                    continue;
                }
                String name = json.currentName();
                switch (name == null ? "" : name) {
                    case "expr" -> query = json.getText();
                    case "legendFormat" -> {
                        queries++;
                        assertAsksForWhatIsThere(exposed, query, json.getText());
                    }
                    case "title" -> assertThat(titles.add(json.getText())).isTrue();
                    default -> {}
                }
            }
        }
        assertThat(queries).isGreaterThanOrEqualTo(15);
        assertThat(titles).hasSizeGreaterThanOrEqualTo(12);
    }

    @Test
    void theAlertRulesAskForWhatIsThere() throws Exception {
        use();
        PrometheusText exposed = scrapeLater();
        String rules = Files.readString(MONITORING.resolve("alerts.yml"));
        List<String> alerts = new ArrayList<>();
        for (Matcher alert = ALERT.matcher(rules); alert.find(); ) {
            alerts.add(alert.group(1));
            assertAsksForWhatIsThere(exposed, alert.group(2), alert.group(3));
            assertThat(alert.group(3)).contains("severity: ").contains("summary: ");
        }
        assertThat(alerts).hasSizeGreaterThanOrEqualTo(8).doesNotHaveDuplicates();
        assertThat(rules.lines().filter(line -> line.contains("alert:"))).hasSameSizeAs(alerts);
    }

    @Test
    void theDocumentHasEachMetricWithItsLabels() throws Exception {
        use();
        PrometheusText exposed = scrapeLater();
        Map<String, Set<String>> documented = new TreeMap<>();
        for (Matcher row = ROW.matcher(Files.readString(MONITORING.resolve("README.md")));
                row.find(); ) {
            Set<String> labels = new TreeSet<>();
            WORD.matcher(row.group(2)).results().forEach(found -> labels.add(found.group(1)));
            documented.put(row.group(1), labels);
        }
        Map<String, Set<String>> there = new TreeMap<>();
        exposed.types()
                .keySet()
                .forEach(name -> there.put(name, new TreeSet<>(exposed.labelsOf(name))));

        assertThat(there).hasSizeGreaterThanOrEqualTo(30);
        assertThat(documented).isEqualTo(there);
    }
}
