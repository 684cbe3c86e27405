// SPDX-License-Identifier: Apache-2.0
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HexFormat;

/**
 * The fuzzing corpus is text in the repository, so that a change of it can be read, and files for Jazzer; for
 * tools/fuzz.sh. One input is one line: its name, a space, its bytes in hexadecimal. {@code unpack LIST FOLDER} writes
 * each input of a list to a file; {@code line NAME FILE} prints a file as a line.
 */
final class FuzzCorpus {
    public static void main(String[] arguments) throws IOException {
        if (arguments.length == 3 && arguments[0].equals("unpack")) {
            unpack(Path.of(arguments[1]), Path.of(arguments[2]));
        } else if (arguments.length == 3 && arguments[0].equals("line")) {
            byte[] input = Files.readAllBytes(Path.of(arguments[2]));
            System.out.println(arguments[1] + " " + HexFormat.of().formatHex(input));
        } else {
            System.err.println("usage: FuzzCorpus unpack LIST FOLDER | FuzzCorpus line NAME FILE");
            System.exit(2);
        }
    }

    private static void unpack(Path list, Path folder) throws IOException {
        Files.createDirectories(folder);
        for (String line : Files.readAllLines(list)) {
            int space = line.indexOf(' ');
            byte[] input = HexFormat.of().parseHex(line, space + 1, line.length());
            Files.write(folder.resolve(line.substring(0, space)), input);
        }
    }
}
