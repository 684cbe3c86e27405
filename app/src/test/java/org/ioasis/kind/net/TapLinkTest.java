// SPDX-License-Identifier: Apache-2.0
package org.ioasis.kind.net;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.File;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/**
 * Frames through an interface of this host's kernel, in a network of its own (unshare(1)). A host
 * that has no TAP, or gives nobody a network of his own, must be the reason of the refusal.
 */
@Timeout(120)
class TapLinkTest {
    @TempDir Path folder;

    @Test
    void hostsKernelIsReachedThroughATapWithinItsLimitAndWhatGoesWrongIsSaid() throws Exception {
        Path errors = folder.resolve("errors");
        Process program =
                new ProcessBuilder(
                                "unshare",
                                "--user",
                                "--map-root-user",
                                "--net",
                                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                                "--class-path",
                                String.join(
                                        File.pathSeparator,
                                        System.getProperty("jdk.module.path", ""),
                                        System.getProperty("java.class.path", ""),
                                        location()),
                                "--enable-native-access=ALL-UNNAMED",
                                OverTap.class.getName())
                        .redirectError(errors.toFile())
                        .start();
        List<String> lines = program.inputReader(StandardCharsets.UTF_8).lines().toList();
        assertThat(program.waitFor(60, TimeUnit.SECONDS)).isTrue();
        String failure = Files.readString(errors);

        if (lines.isEmpty()) {
            assertThat(failure).startsWith("unshare: ");
            return;
        }
        assertThat(program.exitValue()).as("%s%n%s", lines, failure).isZero();
        if (lines.getFirst().startsWith("refused")) {
            assertThat(lines)
                    .singleElement()
                    .asString()
                    .containsAnyOf(
                            "this host has no TAP devices; load the kernel's module tun",
                            "this user may not open /dev/net/tun",
                            "not this user's; as root: ip tuntap add dev tap0 mode tap user USER");
            return;
        }
        assertThat(lines)
                .containsExactly(
                        "opened tap=tap0",
                        "tap=tap0: somebody else has its end already (ioctl TUNSETIFF tap0: in use)",
                        "tap=lo: there is an interface of that name that is no TAP of one queue"
                                + " (ioctl TUNSETIFF lo: not possible with these values)",
                        "echoed 200",
                        "one turn takes " + TapLink.FRAMES_AT_ONCE,
                        "down: LOST, link true",
                        "gone");
    }

    private static String location() {
        return Path.of(OverTap.class.getProtectionDomain().getCodeSource().getLocation().getPath())
                .toString();
    }
}
