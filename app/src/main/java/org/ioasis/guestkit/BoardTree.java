// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guestkit;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The device tree of a virtual board: as the VMM would show it to a guest, and with an overlay put
 * on it by the tool that distributions have for that. One thread; blocks.
 */
public final class BoardTree {
    private static final Duration LIMIT = Duration.ofSeconds(60);

    private final Host host;
    private final Cleanup cleanup;
    private final Path base;

    private BoardTree(Host host, Cleanup cleanup, Path base) {
        this.host = host;
        this.cleanup = cleanup;
        this.base = base;
    }

    /**
     * Lets the VMM write the tree of a board that it does not start.
     *
     * @param board the value of {@code -machine}
     * @param words what else decides what the board has
     * @param base where it writes it; other files are made beside that
     * @throws IOException it writes none; the message has what it said
     */
    public static BoardTree of(
            Qemu qemu, String board, List<String> words, Path base, Host host, Cleanup cleanup)
            throws IOException, InterruptedException {
        List<String> command = new ArrayList<>(qemu.command());
        command.addAll(
                List.of(
                        "-no-user-config",
                        "-nodefaults",
                        "-display",
                        "none",
                        "-accel",
                        "tcg",
                        "-machine",
                        board + ",dumpdtb=" + base.toString().replace(",", ",,")));
        command.addAll(words);
        BoardTree tree = new BoardTree(host, cleanup, base);
        tree.run(command, qemu.environment(), base);
        return tree;
    }

    /** What a guest would be shown. */
    public byte[] bytes() throws IOException {
        return Files.readAllBytes(base);
    }

    /**
     * The same with more on it.
     *
     * @param overlay a blob
     * @param tool {@link DebianProgram#FDTOVERLAY}
     * @return a file beside the other
     * @throws IOException the tool refuses it; the message has what it said
     */
    public Path with(byte[] overlay, GuestProgram tool) throws IOException, InterruptedException {
        Path file = Files.write(base.resolveSibling("overlay.dtbo"), overlay);
        Path whole = base.resolveSibling("whole.dtb");
        List<String> command = new ArrayList<>(tool.command());
        command.addAll(List.of("-i", base.toString(), "-o", whole.toString(), file.toString()));
        run(command, Map.of(), whole);
        return whole;
    }

    private void run(List<String> command, Map<String, String> environment, Path made)
            throws IOException, InterruptedException {
        Map<String, String> full = new LinkedHashMap<>(host.childEnvironment());
        full.putAll(environment);
        Tool.Result result = Tool.run(cleanup, command, full, Path.of("/"), LIMIT, _ -> {});
        if (!result.isSuccess() || !Files.isRegularFile(made)) {
            throw new IOException(
                    "no device tree %s:%n%s".formatted(made.getFileName(), result.explanation()));
        }
    }
}
