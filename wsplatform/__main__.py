from wsplatform.cli import main

main()
