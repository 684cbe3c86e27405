// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guest;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** What the documents tell a user to type and to write, word by word. Any thread. */
final class Readme {
    /** Tests run in the folder of their module. */
    private static final Path ROOT = Path.of("..");

    private Readme() {}

    /** The commands in the blocks marked {@code sh} of a section of README.md, in their order. */
    static List<String> commands(String heading) throws IOException {
        List<String> commands = new ArrayList<>();
        String section = "";
        boolean isInside = false;
        for (String line : Files.readAllLines(ROOT.resolve("README.md"))) {
            if (line.startsWith("```")) {
                isInside = line.equals("```sh");
            } else if (isInside && section.equals(heading)) {
                commands.add(line);
            } else if (line.startsWith("## ")) {
                section = line.substring(3);
            }
        }
        if (commands.isEmpty()) {
            throw new AssertionError("README.md has no commands in a section " + heading);
        }
        return commands;
    }

    /** The first block marked {@code toml} of docs/config.md: the least that works. */
    static String leastConfiguration() throws IOException {
        String text = Files.readString(ROOT.resolve("docs/config.md"));
        String begin = "```toml\n";
        int from = text.indexOf(begin) + begin.length();
        return text.substring(from, text.indexOf("```", from));
    }
}
