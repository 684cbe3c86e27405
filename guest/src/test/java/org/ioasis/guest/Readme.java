// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guest;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** What the documents tell a user to type and to write, word by word. Any thread. */
final class Readme {
    /** Tests run in the folder of their module. */
    private static final Path ROOT = Path.of("..");

    private static final Pattern FILE = Pattern.compile("(?ms)^```[a-z]+ +(\\S+)\\n(.*?)^```$");

    private Readme() {}

    /** The commands in the blocks marked {@code sh} of a section of README.md, in their order. */
    static List<String> commands(String heading) throws IOException {
        return commands("README.md", heading);
    }

    /** The same of a document; its beginning is the section that is called "". */
    static List<String> commands(String document, String heading) throws IOException {
        List<String> commands = new ArrayList<>();
        String section = "";
        boolean isInside = false;
        for (String line : Files.readAllLines(ROOT.resolve(document))) {
            if (line.startsWith("```")) {
                isInside = line.equals("```sh");
            } else if (isInside && section.equals(heading)) {
                commands.add(line);
            } else if (line.startsWith("## ")) {
                section = line.substring(3);
            }
        }
        if (commands.isEmpty()) {
            throw new AssertionError(document + " has no commands in a section " + heading);
        }
        return commands;
    }

    /** The blocks of a document that have a file's name behind their language, by that name. */
    static Map<String, String> files(String document) throws IOException {
        Map<String, String> files = new LinkedHashMap<>();
        Matcher block = FILE.matcher(Files.readString(ROOT.resolve(document)));
        while (block.find()) {
            files.put(block.group(1), block.group(2));
        }
        return files;
    }

    /** The first block marked {@code toml} of docs/config.md: the least that works. */
    static String leastConfiguration() throws IOException {
        String text = Files.readString(ROOT.resolve("docs/config.md"));
        String begin = "```toml\n";
        int from = text.indexOf(begin) + begin.length();
        return text.substring(from, text.indexOf("```", from));
    }
}
