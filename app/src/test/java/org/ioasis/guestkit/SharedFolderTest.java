// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guestkit;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class SharedFolderTest {
    @TempDir Path temporary;
    private Path folder;
    private Path initramfs;

    @BeforeEach
    void make() throws IOException {
        folder = Files.createDirectory(temporary.resolve("folder"));
        initramfs = Files.write(temporary.resolve("initramfs"), new byte[5]);
    }

    @Test
    void filesFoldersAndLinksStandBehindWhatIsThereAtAMultipleOfFour() throws Exception {
        Files.createDirectory(folder.resolve("sub"));
        Files.writeString(folder.resolve("sub/text"), "content");
        Files.createSymbolicLink(folder.resolve("link"), Path.of("sub/text"));

        new SharedFolder(folder).appendTo(initramfs);

        String archive = Files.readString(initramfs, ISO_8859_1);
        assertThat(archive.indexOf("070701")).isEqualTo(8);
        assertThat(
                        Pattern.compile("(share[a-z/]*|TRAILER!!!)\0")
                                .matcher(archive)
                                .results()
                                .map(MatchResult::group)
                                .map(name -> name.replace("\0", "")))
                .containsExactly(
                        "share", "share/link", "share/sub", "share/sub/text", "TRAILER!!!");
        assertThat(archive).contains("content");
    }

    @Test
    void folderThatAGuestsMemoryHasNoRoomForIsRefusedAtItsLimit() throws Exception {
        Path large = folder.resolve("large");
        try (RandomAccessFile file = new RandomAccessFile(large.toFile(), "rw")) {
            file.setLength(SharedFolder.BYTES_MAX + 1);
        }

        assertThatThrownBy(() -> new SharedFolder(folder).appendTo(initramfs))
                .isInstanceOf(IOException.class)
                .hasMessage(
                        folder + " has more than 256 MiB, which a guest would have in its memory");
    }
}
