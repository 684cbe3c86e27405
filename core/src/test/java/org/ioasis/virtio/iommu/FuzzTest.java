package org.ioasis.virtio.iommu;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.ioasis.virtio.iommu.FuzzTargets.Target;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * The corpus in every build: what Jazzer has kept because it reached something new, and each
 * finding under a name of its own. New inputs are {@code ./ioasis fuzz}'s.
 */
class FuzzTest {
    private static List<Path> corpus(Target target) throws IOException, URISyntaxException {
        Path folder =
                Path.of(
                        requireNonNull(FuzzTest.class.getResource("corpus/" + target.folder()))
                                .toURI());
        try (Stream<Path> files = Files.list(folder)) {
            return files.sorted().toList();
        }
    }

    @ParameterizedTest
    @EnumSource(Target.class)
    void theCorpusHolds(Target target) throws IOException, URISyntaxException {
        List<Path> corpus = corpus(target);
        for (Path file : corpus) {
            try {
                FuzzTargets.run(target, Files.readAllBytes(file));
            } catch (AssertionError | RuntimeException e) {
                throw new AssertionError(
                        target.folder() + "/" + file.getFileName() + ": " + e.getMessage(), e);
            }
        }
        assertThat(corpus).isNotEmpty();
    }
}
