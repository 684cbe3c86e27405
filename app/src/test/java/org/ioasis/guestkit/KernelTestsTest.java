// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guestkit;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Where the kernel's tests come from, without the network: what is missing, and what is there. */
class KernelTestsTest {
    @TempDir Path folder;

    @Test
    void machineWithoutACompilerIsToldWhatToInstall() throws Exception {
        Path empty = Files.createDirectory(folder.resolve("bin"));
        Host host = host(empty);

        try (Cleanup cleanup = Cleanup.atExit()) {
            assertThatThrownBy(() -> KernelTests.provide(host, cleanup, _ -> {}))
                    .isInstanceOf(UnavailableException.class)
                    .hasMessageContaining("no cc on the PATH")
                    .hasMessageContaining("gcc and libc6-dev");
        }
    }

    @Test
    void machineWithoutAptIsToldWhatToInstall() throws Exception {
        Path programs = Files.createDirectory(folder.resolve("bin"));
        for (String name : List.of("cc", "tar", "xz")) {
            Path file = Files.createFile(programs.resolve(name));
            assertThat(file.toFile().setExecutable(true)).isTrue();
        }
        Host host = host(programs);

        try (Cleanup cleanup = Cleanup.atExit()) {
            assertThatThrownBy(() -> KernelTests.provide(host, cleanup, _ -> {}))
                    .isInstanceOf(UnavailableException.class)
                    .hasMessageContaining("no tests of the kernel: apt-get is not on the PATH")
                    .hasMessageContaining("IOASIS_DEBIAN_MIRROR");
        }
    }

    @Test
    void testsThatAreThereNeedNothingOfTheMachine() throws Exception {
        Host host = host(Files.createDirectory(folder.resolve("bin")));
        List<String> said = new ArrayList<>();
        try (Cleanup cleanup = Cleanup.atExit()) {
            CacheFolder cache = CacheFolder.open(host);
            Path made = cache.newTemporary(cleanup);
            cache.publish(
                    made,
                    "kernel-tests",
                    Map.of("version", "7.3.4-1", "programs", KernelTests.allPrograms()),
                    cleanup);

            KernelTests found = KernelTests.provide(host, cleanup, said::add);

            assertThat(found.version()).isEqualTo("7.3.4-1");
            assertThat(found.program("iommufd")).isEqualTo(found.folder().resolve("iommufd"));
            assertThat(said).isEmpty();
        }
    }

    @Test
    void testsOfATimeWhenThereWereFewerAreMadeAnew() throws Exception {
        Host host = host(Files.createDirectory(folder.resolve("bin")));
        try (Cleanup cleanup = Cleanup.atExit()) {
            CacheFolder cache = CacheFolder.open(host);
            Path made = cache.newTemporary(cleanup);
            cache.publish(made, "kernel-tests", Map.of("version", "7.3.4-1"), cleanup);

            assertThatThrownBy(() -> KernelTests.provide(host, cleanup, _ -> {}))
                    .isInstanceOf(UnavailableException.class)
                    .hasMessageContaining("no cc on the PATH");
        }
    }

    private Host host(Path programs) {
        return new Host(
                Map.of(
                        "PATH",
                        programs.toString(),
                        "IOASIS_CACHE",
                        folder.resolve("cache").toString()),
                "amd64");
    }
}
