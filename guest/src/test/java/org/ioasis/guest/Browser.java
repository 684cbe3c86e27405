// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guest;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.File;
import java.io.IOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Predicate;
import java.util.logging.Level;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.openqa.selenium.By;
import org.openqa.selenium.JavascriptExecutor;
import org.openqa.selenium.Keys;
import org.openqa.selenium.WebElement;
import org.openqa.selenium.chrome.ChromeDriver;
import org.openqa.selenium.chrome.ChromeDriverService;
import org.openqa.selenium.chrome.ChromeOptions;
import org.openqa.selenium.interactions.Actions;
import org.openqa.selenium.logging.LogEntry;
import org.openqa.selenium.logging.LogType;
import org.openqa.selenium.logging.LoggingPreferences;

/**
 * The host's Chromium without a window, at one page. What it asked for and what it complained of is
 * kept to the end. One thread.
 */
final class Browser implements AutoCloseable {
    private static final Pattern ASKED = Pattern.compile("\"url\":\"([^\"]*)\"");
    private static final Duration WAIT = Duration.ofSeconds(30);

    /** Schemes of what is asked of nobody. */
    private static final Set<String> NOWHERE = Set.of("chrome", "data");

    private final ChromeDriver driver;
    private final String address;

    private Browser(ChromeDriver driver, String address) {
        this.driver = driver;
        this.address = address;
    }

    /** Opens a page. AssertionError that says what to install where there is no browser. */
    static Browser open(String address, Path folder) {
        ChromeOptions options = new ChromeOptions();
        options.setBinary(program("chromium"));
        options.addArguments(
                "--headless=new",
                // Tests may run as root, and the page is ours.
                "--no-sandbox",
                "--disable-dev-shm-usage",
                "--disable-gpu",
                "--disable-extensions",
                "--disable-background-networking",
                "--no-first-run",
                "--force-color-profile=srgb",
                "--user-data-dir=" + folder.resolve("profile"));
        LoggingPreferences logs = new LoggingPreferences();
        logs.enable(LogType.BROWSER, Level.ALL);
        logs.enable(LogType.PERFORMANCE, Level.ALL);
        options.setCapability("goog:loggingPrefs", logs);
        ChromeDriverService service =
                new ChromeDriverService.Builder()
                        .usingDriverExecutable(program("chromedriver"))
                        .usingAnyFreePort()
                        .build();
        ChromeDriver driver = new ChromeDriver(service, options);
        Browser browser = new Browser(driver, address);
        browser.screen(1280, 800, false);
        driver.get(address);
        return browser;
    }

    private static File program(String name) {
        for (String folder : System.getenv("PATH").split(File.pathSeparator, -1)) {
            File file = new File(folder, name);
            if (file.canExecute()) {
                return file;
            }
        }
        throw new AssertionError(
                "the page is tested in a browser, and there is no "
                        + name
                        + " on the PATH: install Chromium and its driver (on Debian: apt-get install chromium chromium-driver)");
    }

    /** How large its window is. */
    void screen(int width, int height, boolean isPhone) {
        driver.executeCdpCommand(
                "Emulation.setDeviceMetricsOverride",
                Map.of(
                        "width", width,
                        "height", height,
                        "deviceScaleFactor", 1,
                        "mobile", isPhone));
    }

    void scheme(String lightOrDark) {
        driver.executeCdpCommand(
                "Emulation.setEmulatedMedia",
                Map.of(
                        "features",
                        List.of(Map.of("name", "prefers-color-scheme", "value", lightOrDark))));
    }

    String text(String id) {
        return driver.findElement(By.id(id)).getText();
    }

    WebElement element(String id) {
        return driver.findElement(By.id(id));
    }

    int count(String selector) {
        return driver.findElements(By.cssSelector(selector)).size();
    }

    Object script(String source) {
        Object answer = ((JavascriptExecutor) driver).executeScript(source);
        return answer == null ? "" : answer;
    }

    /** Keys to what has the focus. */
    void press(CharSequence... keys) {
        for (CharSequence key : keys) {
            new Actions(driver).sendKeys(key).perform();
        }
    }

    /** By the tabulator alone, at most so many times, to what a selector of CSS is of. */
    void tabTo(String selector) {
        String isThere = "return document.activeElement.matches('%s')".formatted(selector);
        for (int i = 0; i < 60; i++) {
            if (script(isThere).equals(true)) {
                return;
            }
            press(Keys.TAB);
        }
        throw new AssertionError("no tabulator leads to " + selector);
    }

    /** Waits until it holds of the words of an element. */
    String await(String id, Predicate<String> wanted) throws InterruptedException {
        long end = System.nanoTime() + WAIT.toNanos();
        String text = text(id);
        while (!wanted.test(text)) {
            assertThat(System.nanoTime()).as("%s is:%n%s%n%s", id, text, console()).isLessThan(end);
            Thread.sleep(50);
            text = text(id);
        }
        return text;
    }

    /** Waits until so much is there. */
    void awaitCount(String selector, int least) throws InterruptedException {
        long end = System.nanoTime() + WAIT.toNanos();
        while (count(selector) < least) {
            assertThat(System.nanoTime()).as("%s%n%s", selector, console()).isLessThan(end);
            Thread.sleep(50);
        }
    }

    /** Waits until a script says so. */
    void awaitScript(String source, Object wanted) throws InterruptedException {
        long end = System.nanoTime() + WAIT.toNanos();
        while (!script(source).equals(wanted)) {
            assertThat(System.nanoTime()).as("%s%n%s", source, console()).isLessThan(end);
            Thread.sleep(50);
        }
    }

    /** Writes what is seen to a file of {@code target/}, for a person to look at. */
    void screenshot(String name) throws IOException {
        Map<String, Object> picture =
                driver.executeCdpCommand(
                        "Page.captureScreenshot",
                        Map.of("format", "png", "captureBeyondViewport", false));
        Path file = Path.of("target", name + ".png");
        Files.write(file, Base64.getDecoder().decode((String) picture.get("data")));
        assertThat(file).isNotEmptyFile();
    }

    /** The same with all that one would have to scroll to. */
    void wholeScreenshot(String name) throws IOException {
        long height = ((Number) script("return document.documentElement.scrollHeight")).longValue();
        long width = ((Number) script("return window.innerWidth")).longValue();
        Map<String, Object> picture =
                driver.executeCdpCommand(
                        "Page.captureScreenshot",
                        Map.of(
                                "format",
                                "png",
                                "captureBeyondViewport",
                                true,
                                "clip",
                                Map.of(
                                        "x", 0, "y", 0, "width", width, "height", height, "scale",
                                        1)));
        Files.write(
                Path.of("target", name + ".png"),
                Base64.getDecoder().decode((String) picture.get("data")));
    }

    private String console() {
        StringBuilder lines = new StringBuilder();
        for (LogEntry entry : driver.manage().logs().get(LogType.BROWSER)) {
            lines.append(entry).append('\n');
        }
        return lines.toString();
    }

    /**
     * Nothing was complained of, and nobody but who the page is from was asked for anything.
     *
     * @param least how often that was asked, or there was nothing to look at
     */
    void assertQuiet(int least) {
        assertThat(console()).isEmpty();
        List<URI> asked =
                driver.manage().logs().get(LogType.PERFORMANCE).getAll().stream()
                        .map(LogEntry::getMessage)
                        .filter(message -> message.contains("\"Network.requestWillBeSent\""))
                        .flatMap(Browser::addresses)
                        // Its own first page, and what stands in the page itself.
                        .filter(one -> !NOWHERE.contains(one.getScheme()))
                        .toList();
        assertThat(asked)
                .hasSizeGreaterThanOrEqualTo(least)
                .allMatch(one -> one.toString().startsWith(address));
    }

    private static Stream<URI> addresses(String message) {
        Matcher found = ASKED.matcher(message.substring(message.indexOf("\"request\":")));
        return found.find() ? Stream.of(URI.create(found.group(1))) : Stream.of();
    }

    @Override
    public void close() {
        driver.quit();
    }
}
