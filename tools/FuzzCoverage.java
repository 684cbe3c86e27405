// SPDX-License-Identifier: Apache-2.0
import java.io.File;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Set;
import org.jacoco.core.analysis.Analyzer;
import org.jacoco.core.analysis.CoverageBuilder;
import org.jacoco.core.analysis.ICounter;
import org.jacoco.core.analysis.ISourceFileCoverage;
import org.jacoco.core.tools.ExecFileLoader;

/**
 * Prints what the fuzzing corpus reaches as the text of docs/fuzz-coverage.md; for tools/fuzz.sh. Arguments: what
 * JaCoCo's agent has written, and the folders of the classes.
 */
final class FuzzCoverage {
    /** Packages behind the fuzz targets. */
    private static final Set<String> PACKAGES =
            Set.of(
                    "iommu",
                    "iommu/fault",
                    "iommu/iotlb",
                    "iommu/pagetable",
                    "iommu/pagetable/format",
                    "iommu/pagetable/smmuv3",
                    "virtqueue",
                    "virtio",
                    "virtio/iommu",
                    "smmuv3",
                    "vtd",
                    "amd",
                    "iommufd/nesting");

    /** The driver stands in front of them. */
    private static final Set<String> DRIVERS =
            Set.of("DriverQueue.java", "SplitDriver.java", "PackedDriver.java");

    private static final String ROOT = "org/ioasis/";

    public static void main(String[] arguments) throws IOException {
        ExecFileLoader run = new ExecFileLoader();
        run.load(new File(arguments[0]));
        CoverageBuilder classes = new CoverageBuilder();
        Analyzer analyzer = new Analyzer(run.getExecutionDataStore(), classes);
        for (int i = 1; i < arguments.length; i++) {
            analyzer.analyzeAll(new File(arguments[i]));
        }
        List<ISourceFileCoverage> files = new ArrayList<>();
        for (ISourceFileCoverage file : classes.getSourceFiles()) {
            boolean isBehind = PACKAGES.contains(file.getPackageName().replaceFirst(ROOT, ""));
            if (isBehind && !DRIVERS.contains(file.getName()) && file.getLineCounter().getCoveredCount() > 0) {
                files.add(file);
            }
        }
        files.sort(Comparator.comparing(FuzzCoverage::name));
        print(files);
    }

    private static void print(List<ISourceFileCoverage> files) {
        System.out.print(
                """
                # What the fuzzing corpus reaches

                Lines and branches of the files behind the fuzz targets that the corpus runs through in every build \
                (`virtio/iommu/FuzzTest.java`, `host/HostFuzzTest.java`). Written by `./ioasis fuzz --coverage`, which measures with JaCoCo. No \
                target has a listener or somebody who watches, so what serves these alone is not reached.

                | file | lines | branches |
                |---|---:|---:|
                """);
        long[] sums = new long[4];
        for (ISourceFileCoverage file : files) {
            ICounter lines = file.getLineCounter();
            ICounter branches = file.getBranchCounter();
            System.out.printf("| `%s` | %s | %s |%n", name(file), share(lines), share(branches));
            sums[0] += lines.getCoveredCount();
            sums[1] += lines.getTotalCount();
            sums[2] += branches.getCoveredCount();
            sums[3] += branches.getTotalCount();
        }
        System.out.printf(
                "| all | %s | %s |%n", share(sums[0], sums[1]), share(sums[2], sums[3]));
    }

    private static String name(ISourceFileCoverage file) {
        return file.getPackageName().replaceFirst(ROOT, "") + "/" + file.getName();
    }

    private static String share(ICounter counter) {
        return share(counter.getCoveredCount(), counter.getTotalCount());
    }

    private static String share(long covered, long total) {
        return total == 0 ? "" : "%d of %d (%d %%)".formatted(covered, total, 100 * covered / total);
    }
}
