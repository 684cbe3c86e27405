// SPDX-License-Identifier: Apache-2.0
package org.ioasis.architecture;

import com.tngtech.archunit.core.domain.JavaClass;
import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.domain.JavaMember;
import java.io.IOException;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * What a document says is there: files and methods in backticks, as in {@code
 * `memory/GuestMemory.java#add`}. A path may leave out its beginning as long as one file only is
 * meant. Any thread.
 */
final class References {
    private static final Pattern REFERENCE =
            Pattern.compile("`([\\w./-]+\\.(?:java|sh|md|xml|patch))(?:#(\\w+))?`");

    private final JavaClasses classes;
    private final List<Path> files = new ArrayList<>();

    /** Reads the names of all files below a folder; methods are looked up in the classes. */
    References(Path root, JavaClasses classes) throws IOException {
        this.classes = classes;
        Files.walkFileTree(
                root,
                new SimpleFileVisitor<>() {
                    @Override
                    public FileVisitResult preVisitDirectory(Path folder, BasicFileAttributes a) {
                        String name = folder.getFileName().toString();
                        return name.equals("target") || name.equals(".git")
                                ? FileVisitResult.SKIP_SUBTREE
                                : FileVisitResult.CONTINUE;
                    }

                    @Override
                    public FileVisitResult visitFile(Path file, BasicFileAttributes a) {
                        files.add(root.relativize(file));
                        return FileVisitResult.CONTINUE;
                    }
                });
    }

    /** How many methods the text names. */
    static long methodsIn(String text) {
        return REFERENCE.matcher(text).results().filter(found -> found.group(2) != null).count();
    }

    /** What the text names and is not there, each with the reason; empty if all is well. */
    List<String> missingIn(String text) {
        List<String> missing = new ArrayList<>();
        Matcher found = REFERENCE.matcher(text);
        while (found.find()) {
            String path = found.group(1);
            List<Path> meant = files.stream().filter(file -> file.endsWith(path)).toList();
            if (meant.size() != 1) {
                missing.add(
                        found.group() + (meant.isEmpty() ? ": no such file" : ": one of " + meant));
            } else if (found.group(2) != null && !declares(meant.getFirst(), found.group(2))) {
                missing.add(found.group() + ": no such method in " + meant.getFirst());
            }
        }
        return missing;
    }

    private boolean declares(Path file, String method) {
        return classes.stream()
                .filter(type -> isFrom(type, file))
                .flatMap(References::members)
                .anyMatch(method::equals);
    }

    /** Nested classes come from the file of the outer one. */
    private static boolean isFrom(JavaClass type, Path file) {
        String source = type.getSource().flatMap(s -> s.getFileName()).orElse("");
        return file.endsWith(Path.of(type.getPackageName().replace('.', '/'), source));
    }

    private static Stream<String> members(JavaClass type) {
        return type.getMethods().stream().map(JavaMember::getName);
    }
}
