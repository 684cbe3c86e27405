// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guestkit;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.SequencedMap;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What is handed to grub-mkimage; what that makes of it the guests on ARM show. */
class GrubImageTest {
    @TempDir Path folder;
    private final Cleanup cleanup = Cleanup.atExit();
    private Path kernel;

    @BeforeEach
    void makeKernel() throws IOException {
        kernel = Files.writeString(folder.resolve("kernel"), "MZ");
    }

    @AfterEach
    void cleanUp() {
        cleanup.close();
    }

    /** With a loader that is a script: it sees the words that the program is started with. */
    private GrubImage image(String script) throws IOException {
        SequencedMap<String, Path> files = new LinkedHashMap<>();
        files.put("bin/grub-mkimage", folder.resolve("grub-mkimage"));
        files.put(
                "lib64/ld-linux-x86-64.so.2",
                HostFixture.executable(folder.resolve("loader"), script));
        ArmFirmware firmware = new ArmFirmware(folder.resolve("fd"), folder.resolve("modules"));
        return new GrubImage(
                firmware, new GuestProgram(files), new HostFixture(folder).host(), cleanup);
    }

    @Test
    void loaderAddsEachTableBootsAndElseEndsTheMachine() {
        assertThat(GrubImage.commands(" console=ttyAMA0  panic=-1\n$x;{", 2))
                .isEqualTo(
                        """
                        acpi (memdisk)/table0
                        acpi (memdisk)/table1
                        linux (memdisk)/vmlinuz 'console=ttyAMA0' 'panic=-1' '$x;{'
                        boot
                        halt
                        """);
    }

    @ParameterizedTest
    @ValueSource(strings = {"a='b'", "a=\"b c\"", "a=\\x"})
    void wordThatTheLoaderWouldChangeIsRefusedBeforeAnythingIsWritten(String words)
            throws IOException {
        GrubImage image = image("exit 0");

        assertThat(GrubImage.handsOn(words)).isFalse();
        assertThatThrownBy(() -> image.write(folder.resolve("out.efi"), kernel, words, List.of()))
                .isInstanceOf(IllegalArgumentException.class);
        assertThat(folder.resolve("out.efi.cfg")).doesNotExist();
    }

    @Test
    void toolIsGivenTheCommandsAndAnArchiveOfTablesAndKernel() throws Exception {
        Path out = folder.resolve("out.efi");
        GrubImage image =
                image(
                        "echo \"$*\" >'%s/words'; /bin/cp '%s.cpio' '%s/archive'; : >'%s'"
                                .formatted(folder, out, folder, out));

        assertThat(
                        image.write(
                                out,
                                kernel,
                                "quiet",
                                List.of("VIOT".getBytes(StandardCharsets.US_ASCII))))
                .isEqualTo(out);

        assertThat(Files.readString(folder.resolve("words")))
                .endsWith(
                        "grub-mkimage -O arm64-efi -d %1$s/modules -c %1$s/out.efi.cfg -m %1$s/out.efi.cpio -p (memdisk)/ -o %1$s/out.efi acpi linux halt memdisk newc\n"
                                .formatted(folder));
        assertThat(Files.readString(folder.resolve("archive")))
                .containsSubsequence("table0", "VIOT", "vmlinuz", "MZ");
        assertThat(folder.resolve("out.efi.cpio")).doesNotExist();
    }

    @Test
    void toolThatRefusesIsQuoted() throws Exception {
        GrubImage image = image("echo 'error: no such module'; exit 1");

        assertThatThrownBy(() -> image.write(folder.resolve("out.efi"), kernel, "quiet", List.of()))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("no such module");
    }
}
