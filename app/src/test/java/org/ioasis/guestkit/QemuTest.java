// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guestkit;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class QemuTest {
    @TempDir Path folder;
    private final Cleanup cleanup = Cleanup.atExit();

    @AfterEach
    void cleanUp() {
        cleanup.close();
    }

    private Qemu.Answer ask(String script) throws Exception {
        Path program = HostFixture.executable(folder.resolve("qemu"), script);
        return Qemu.ask(
                List.of(program.toString()),
                Map.of("EXTRA", "1"),
                new Host(Map.of("PATH", "/usr/bin:/bin"), "amd64"),
                cleanup);
    }

    private static String reason(Qemu.Answer answer) {
        return switch (answer) {
            case Qemu.Answer.Refused(String reason) -> reason;
            case Qemu.Answer.Usable(Qemu qemu) -> "usable: " + qemu;
        };
    }

    @Test
    void programThatFailsIsRefusedWithItsWords() throws Exception {
        assertThat(reason(ask("echo no library; exit 127"))).contains("no library");
        assertThat(reason(ask("exit 3"))).contains("exit code 3");
        assertThat(reason(ask("echo something else"))).contains("does not tell its version");
    }

    @Test
    void programThatCannotBeStartedIsRefused() throws Exception {
        Qemu.Answer answer =
                Qemu.ask(
                        List.of(folder.resolve("absent").toString()),
                        Map.of(),
                        new Host(Map.of(), "amd64"),
                        cleanup);

        assertThat(reason(answer)).contains("cannot be started");
    }

    @Test
    void oldVersionsAreRefused() throws Exception {
        assertThat(reason(ask(HostFixture.qemu("10.0.99")))).contains("10.1 is needed");
        assertThat(reason(ask(HostFixture.qemu("9.2.0")))).contains("10.1 is needed");
    }

    @Test
    void buildWithoutTheDeviceIsRefused() throws Exception {
        String script =
                "case $1 in -version) echo QEMU emulator version 11.0.0 ;;"
                        + " *) echo 'name \"vfio-user-pci-not\"' ;; esac";

        assertThat(reason(ask(script))).contains("has no device vfio-user-pci");
    }

    @Test
    void newEnoughVersionWithTheDeviceIsUsable() throws Exception {
        Qemu.Answer answer = ask("[ \"$EXTRA\" = 1 ] || exit 9\n" + HostFixture.qemu("10.1"));

        assertThat(answer)
                .isInstanceOfSatisfying(
                        Qemu.Answer.Usable.class,
                        usable -> {
                            assertThat(usable.qemu().version()).isEqualTo("10.1");
                            assertThat(usable.qemu().environment()).containsEntry("EXTRA", "1");
                        });
    }
}
