// SPDX-License-Identifier: Apache-2.0
package org.ioasis.architecture;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.Pattern;

/** The source tree that is tested, and the compiled classes of its modules. Any thread. */
final class Tree {
    private static final Pattern MODULE = Pattern.compile("<module>(\\w+)</module>");

    private Tree() {}

    /** The folder with the launcher; Maven runs the tests of a module in the module's folder. */
    static Path root() {
        Path folder = Path.of("").toAbsolutePath();
        while (!Files.exists(folder.resolve("ioasis"))) {
            Path parent = folder.getParent();
            if (parent == null) {
                throw new IllegalStateException(
                        "no ./ioasis above " + Path.of("").toAbsolutePath());
            }
            folder = parent;
        }
        return folder;
    }

    static String text(String name) throws IOException {
        return Files.readString(root().resolve(name), UTF_8);
    }

    /** The modules of the parent pom, in its order. */
    static List<String> modules() throws IOException {
        return MODULE.matcher(text("pom.xml")).results().map(found -> found.group(1)).toList();
    }

    /** All classes that are shipped, of every module that has been compiled. */
    static JavaClasses productionClasses() throws IOException {
        return new ClassFileImporter()
                // What JMH generates is nobody's code.
                .withImportOption(location -> !location.contains("/jmh_generated/"))
                .importPaths(
                        modules().stream()
                                .map(module -> root().resolve(module).resolve("target/classes"))
                                .filter(Files::isDirectory)
                                .toList());
    }

    /** The planted violations beside this class. */
    static JavaClasses plantedClasses() {
        Path classes = root().resolve("app/target/test-classes");
        return new ClassFileImporter()
                .importPath(
                        classes.resolve(Rules.class.getPackageName().replace('.', '/'))
                                .resolve("planted"));
    }
}
